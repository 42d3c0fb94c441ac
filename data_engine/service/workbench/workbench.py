"""What annotators can do with the images of a pool, whatever carries their requests."""

import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from data_engine.annotation.provenance import Stamp
from data_engine.people.drawing.actions import WHOLE_IMAGE, Action, Candidate, check_action
from data_engine.people.drawing.crops import Crop, covering
from data_engine.people.drawing.drawing import Drawing, DrawnObject, surest
from data_engine.people.follow_up import Reviewing, follow_up
from data_engine.people.tasks.queue import NotYours, Terms
from data_engine.people.tasks.store import OutOfStep, Store
from data_engine.people.tasks.tasks import NewTask, StoredTask
from data_engine.service.workbench.clock import steady_clock
from data_engine.service.workbench.decoding import Decoder
from data_engine.service.workbench.embeddings import Embeddings, PreparedImage
from data_engine.service.workbench.prefilling import Prefill

logger = logging.getLogger(__name__)

DRAWINGS_IN_MEMORY = 64


@dataclass(frozen=True)
class OpenTask:
    """A task that an annotator works on, its image, and what is drawn on it so far."""

    task: StoredTask
    image: PreparedImage
    drawing: Drawing


@dataclass(frozen=True)
class Change:
    """What an action did: the objects that differ, all of them where the page may have missed
    some."""

    drawing: Drawing
    objects: list[DrawnObject]


@dataclass(frozen=True)
class Rules:
    """How the work is dealt out and checked, and the rule of overlap of the phase."""

    stamp: Stamp = Stamp("assisted_manual", 1, None, None)
    terms: Terms = field(default_factory=Terms)
    reviewing: Reviewing = field(default_factory=Reviewing)
    duplicate_iou: float = 0.9


class Workbench:
    """Hands out tasks under leases and stores every action before it is answered."""

    def __init__(
        self,
        store: Store,
        embeddings: Embeddings,
        *,
        model_sha256: str,
        rules: Rules | None = None,
        prefill: Prefill | None = None,
        decoder: Decoder | None = None,
        ahead: int = 4,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.store = store
        self.model_sha256 = model_sha256
        self.rules = rules or Rules()
        self._embeddings = embeddings
        self._prefill = prefill
        self._decoder = decoder or Decoder()
        self._ahead_count = ahead
        self._clock = clock or steady_clock()
        self._drawings: OrderedDict[str, Drawing] = OrderedDict()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prepare-ahead")
        self._asked: set[str] = set()  # of the background, by task
        store.extend_leases(self._clock() + self._lease_s)

    @property
    def folder(self) -> Path:
        """Where the embeddings are kept."""
        return self._embeddings.folder

    @property
    def _lease_s(self) -> float:
        return self.rules.terms.lease_s

    # Tasks

    def claim(self, annotator: str) -> OpenTask | None:
        """The task that the annotator has begun, else the next; None if there is none left.

        One whose image cannot be read, or shows the same as another, is left out with the reason.
        """
        now, terms = self._clock(), self.rules.terms
        while key := self.store.claim(annotator, now=now, terms=terms):
            task = self._task(key)
            try:
                image = self._ready(task)
                twin = self.store.identify(task.image, image.digest, image.size)
            except (ValueError, OSError) as error:
                self.store.leave_out(key, str(error))
                continue
            if twin is not None:
                self.store.leave_out(key, f"it shows the same as {twin}")
                continue
            self.prepare_ahead()
            with self._locks[key]:
                self._drawings.pop(key, None)  # the store may know more
                return OpenTask(task, image, self._drawing(task, image.size))
        return None

    def prepare_ahead(self) -> None:
        """Has the next images encoded, and prefilled, in the background."""
        for key in self.store.upcoming(self._ahead_count):
            if key not in self._asked:
                self._asked.add(key)
                self._ahead.submit(self._ready_quietly, key)

    def image(self, key: str, annotator: str) -> PreparedImage:
        """The image of a task that the annotator holds."""
        return self._embeddings.get(self._held(key, annotator).image)

    def renew(self, key: str, annotator: str) -> None:
        """Prolongs the lease of somebody who looks, but does nothing yet."""
        self.store.renew(key, annotator, now=self._clock(), lease_s=self._lease_s)

    def finish(self, key: str, annotator: str, *, seq: int, state: str) -> None:
        """Ends a task: `saved` or `skipped`. `seq` actions must be stored."""
        task = self._task(key)
        with self._locks[key]:
            following = None
            if state == "saved" and task.state == "open":
                following = self._following(task, annotator, seq)
            self.store.finish(
                key, annotator, state, seq=seq, now=self._clock(), follow_up=following
            )
            self._drawings.pop(key, None)

    def _following(self, task: StoredTask, annotator: str, seq: int) -> NewTask | None:
        """What follows when a task is saved after so many actions; a review must be complete."""
        drawing = self._drawing(task, self._size(task))
        if len(drawing.log) != seq:  # another server may have stored more
            self._drawings.pop(task.key)
            drawing = self._drawing(task, self._size(task))
        if missing := drawing.unjudged():
            raise ValueError(
                f"object {missing[0]} has no verdict yet ({len(missing)} in all): accept, correct "
                "or reject it, or judge the image as a whole"
            )
        rules = self.rules
        return follow_up(task, drawing, rules.stamp, annotator=annotator, reviewing=rules.reviewing)

    def close(self) -> None:
        """Lets the image under way finish, drops those behind it, and lets go of the store."""
        self._ahead.shutdown(cancel_futures=True)
        self.store.close()

    # Actions

    def act(self, key: str, request: Action) -> Change:
        """Answers an action and stores it. One that is sent again changes nothing."""
        task = self._held(key, request.annotator)
        size = self._size(task)
        with self._locks[key]:
            drawing = self._drawing(task, size)
            if self._is_known(request, drawing):
                return Change(drawing, drawing.ever_touched())  # the answer was lost
            check_action(request, size)
            drawing.check(request)
            action, logits = request, None
            if request.kind in ("point", "box"):
                drawn = drawing.object(request.object)
                seen = self._embeddings.get(task.image, request.crop)
                candidates, logits = self._decoder.answer(key, seen, drawn, request)
                action = replace(request, candidates=candidates, model_sha256=self.model_sha256)
            self._store(key, action)
            if logits is not None:
                self._decoder.remember(key, action, logits)
            changed = drawing.add(action)
            if changed.object == WHOLE_IMAGE:
                return Change(drawing, drawing.objects())
            return Change(drawing, [drawing.object(changed.object)])

    def preview(self, key: str, request: Action) -> Candidate:
        """The mask that a point or box would give, without storing anything."""
        task = self._held(key, request.annotator)
        size = self._size(task)
        check_action(request, size)
        if request.kind not in ("point", "box"):
            raise ValueError(f"a {request.kind} has no preview: only a point and a box")
        with self._locks[key]:
            drawing = self._drawing(task, size)
            drawing.check(request)
            drawn = drawing.object(request.object)
        seen = self._embeddings.get(task.image, request.crop)
        candidates, _ = self._decoder.answer(key, seen, drawn, request)
        return candidates[surest(candidates)]

    def crop(self, key: str, annotator: str, view: tuple[float, ...]) -> Crop | None:
        """The part of the image to look at when only the view (XYXY) is seen, encoded; None: all
        of it."""
        task = self._held(key, annotator)
        height, width = self._size(task)
        x0, y0, x1, y1 = view
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"the view {list(view)} is no part of {width} x {height} pixels")
        crop = covering((x0, y0, x1, y1), (height, width))
        self._embeddings.get(task.image, crop)
        return crop

    def _is_known(self, request: Action, drawing: Drawing) -> bool:
        """Whether the request was stored before; OutOfStep if it does not come next either."""
        if request.seq < len(drawing.log) and drawing.log[request.seq].same_request(request):
            return True
        if request.seq != len(drawing.log):
            raise OutOfStep("another tab has changed this image: the page shows its state now")
        return False

    def _store(self, key: str, action: Action) -> None:
        try:
            self.store.append(key, action, now=self._clock(), lease_s=self._lease_s)
        except OutOfStep:
            self._drawings.pop(key, None)
            raise

    # What is kept in memory

    def _task(self, key: str) -> StoredTask:
        task = self.store.task(key)
        if task is None:
            raise NotYours(f"there is no image {key}")
        return task

    def _held(self, key: str, annotator: str) -> StoredTask:
        """A task that the annotator holds."""
        task = self._task(key)
        if task.state != "open" or task.holder != annotator:
            raise NotYours(f"{key} is not yours any more: it was finished, or taken by another")
        return task

    def _ready(self, task: StoredTask) -> PreparedImage:
        """The image of a task, encoded; its masks are prefilled if the phase does that."""
        image = self._embeddings.get(task.image)
        if self._prefill is not None and self.store.given(task.key) is None:
            self.store.give(task.key, self._prefill(image))
        return image

    def _ready_quietly(self, key: str) -> None:
        try:
            self._ready(self._task(key))
        except (ValueError, OSError) as error:  # told to whoever gets the image
            logger.warning(f"{key}: {error}")
        finally:
            self._asked.discard(key)

    def _size(self, task: StoredTask) -> tuple[int, int]:
        """(H, W), known since the image was prepared for whoever claimed the task."""
        return task.size or self._embeddings.get(task.image).size

    def _drawing(self, task: StoredTask, size: tuple[int, int]) -> Drawing:
        """The drawing from memory, else from the store. Under the lock of its task."""
        drawing = self._drawings.get(task.key)
        if drawing is None:
            drawing = self._drawings[task.key] = Drawing(
                size,
                self.store.actions(task.key),
                given=self.store.given(task.key) or [],
                is_review=task.is_review,
            )
            while len(self._drawings) > DRAWINGS_IN_MEMORY:
                self._drawings.popitem(last=False)
        return drawing
