"""Which masks are trained on, decided from their fields alone: nothing is decoded."""

from collections.abc import Collection
from dataclasses import dataclass

from sam_train.data.records import PHASES, Annotation, Record, mask_phase
from sam_train.data.transforms import View


@dataclass(frozen=True)
class MaskFilter:
    """Keeps the masks that pass all of its conditions; by default only that of SAM, App. A.

    A mask without a score passes the thresholds; one without provenance has review `none` and
    the phase that `mask_phase` says.
    """

    max_area: float = 0.9  # of the image
    min_input_area: float = 0.0  # pixels, as large as the model sees the mask
    pred_iou_thresh: float = 0.0
    stability_score_thresh: float = 0.0
    phases: Collection[str] | None = None
    review_states: Collection[str] | None = None

    def __post_init__(self) -> None:
        unknown = set(self.phases or ()) - set(PHASES)
        if unknown:
            raise ValueError(f"There is no phase {min(unknown)!r} to keep; phases: {list(PHASES)}.")

    def __call__(self, record: Record, view: View) -> list[Annotation]:
        """The masks to choose from, in the order of the record."""
        image_area = record["image"]["height"] * record["image"]["width"]
        scale = view.input_size[0] * view.input_size[1] / (view.height * view.width)
        low, high = self.min_input_area / scale, self.max_area * image_area
        return [
            annotation
            for annotation in record["annotations"]
            if low <= annotation["area"] <= high
            and annotation.get("predicted_iou", 1.0) >= self.pred_iou_thresh
            and annotation.get("stability_score", 1.0) >= self.stability_score_thresh
            and self._has_origin(annotation)
        ]

    def _has_origin(self, annotation: Annotation) -> bool:
        if self.phases is not None and mask_phase(annotation) not in self.phases:
            return False
        if self.review_states is None:
            return True
        provenance = annotation.get("provenance")
        return (provenance["review"]["state"] if provenance else "none") in self.review_states
