"""Segment Anything, trained: a drop-in for the names of the `segment_anything` package."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
    from sam_train.inference.predictor import SamPredictor
    from sam_train.modeling.build import sam_model_registry

__all__ = ["SamAutomaticMaskGenerator", "SamPredictor", "sam_model_registry"]

# Looked up on first use: `--help` and the data tools must not wait for torch.
_HOMES = {
    "SamAutomaticMaskGenerator": "sam_train.inference.automatic_mask_generator",
    "SamPredictor": "sam_train.inference.predictor",
    "sam_model_registry": "sam_train.modeling.build",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
