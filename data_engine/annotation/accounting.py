"""What masks cost: seconds, clicks and brush strokes by phase and round, from their provenance."""

from collections.abc import Iterable
from dataclasses import dataclass

from sam_train.data.records import Record

# Masks of these cost nobody's time and are left out of the averages per mask (SAM, section 4).
MACHINES = {"set", "detector", "automatic"}


@dataclass
class Cost:
    """The masks that one phase made in one round, and what people spent on them."""

    phase: str
    round: int
    masks: int = 0
    masks_by_people: int = 0
    seconds: float = 0.0
    clicks: int = 0
    strokes: int = 0
    brushed: int = 0  # masks with at least one stroke

    def per_mask(self, seconds_elsewhere: float = 0.0) -> dict[str, int | float]:
        """How many masks are new, and the averages over those that people made.

        `seconds_elsewhere` is time that belongs to no mask; it is spread over all of them.
        """
        by = max(self.masks_by_people, 1)
        return {
            "new_masks": self.masks,
            "masks_by_people": self.masks_by_people,
            "seconds_per_mask": round((self.seconds + seconds_elsewhere) / by, 3),
            "clicks_per_mask": round(self.clicks / by, 3),
            "strokes_per_mask": round(self.strokes / by, 3),
            "brushed_share": round(self.brushed / by, 3),
        }


def costs(records: Iterable[Record]) -> dict[tuple[str, int], Cost]:
    """Sums up the masks that carry a provenance, by (phase, round)."""
    found: dict[tuple[str, int], Cost] = {}
    for record in records:
        for annotation in record["annotations"]:
            provenance = annotation.get("provenance")
            if provenance is None:
                continue
            key = (provenance["phase"], provenance["round"])
            cost = found.setdefault(key, Cost(*key))
            cost.masks += 1
            if provenance["annotator"] in MACHINES:
                continue
            kinds = [prompt["type"] for prompt in provenance["prompts"]]
            cost.masks_by_people += 1
            cost.seconds += provenance["seconds"]
            cost.clicks += kinds.count("point")
            cost.strokes += kinds.count("brush")
            cost.brushed += "brush" in kinds
    return found
