"""What becomes of an image when a task is saved: a review by somebody else, or more work."""

from dataclasses import dataclass, replace

from data_engine.annotation.provenance import Stamp
from data_engine.people.drawing.drawing import Drawing
from data_engine.people.outcomes import outcome
from data_engine.people.tasks.queue import chance
from data_engine.people.tasks.tasks import NewTask, StoredTask


@dataclass(frozen=True)
class Reviewing:
    """Which images a second person looks at: a `share` of them, chosen by their keys."""

    share: float = 0.0

    def wants(self, image: str) -> bool:
        return chance(f"review {image}") < self.share


def follow_up(
    task: StoredTask, drawing: Drawing, stamp: Stamp, *, annotator: str, reviewing: Reviewing
) -> NewTask | None:
    """The task after one that is saved by the annotator; None if the image is done.

    Saved work is reviewed by somebody else. A review that rejects something sends the image back
    with what was not rejected, its maker coming last. Gold images and those in which nothing was
    drawn have no review.
    """
    if task.is_gold or not reviewing.wants(task.image):
        return None
    found = outcome(drawing, stamp, reviewer=annotator if task.is_review else None)
    more = NewTask(
        task.next_key,
        task.image,
        phase=task.phase,
        round=task.round,
        place=task.place,
        maker=task.maker,
        given=found.annotations,
    )
    if not task.is_review:
        return replace(more, kind="review", maker=annotator) if found.annotations else None
    verdicts = [item.verdict for item in drawing.objects()]
    if drawing.image_verdict == "reject" or "reject" in verdicts:
        return more
    return None
