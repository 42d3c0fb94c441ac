"""The image set that a command line of `python -m tools.convert` names."""

import argparse
from typing import Any

from sam_train.data.sets.annotation_tools.cvat_set import CvatSet
from sam_train.data.sets.annotation_tools.label_studio_set import LabelStudioSet
from sam_train.data.sets.annotation_tools.via_set import ViaSet
from sam_train.data.sets.bsds_set import BsdsSet
from sam_train.data.sets.coco_set import CocoSet, PanopticSet
from sam_train.data.sets.labeled_image import ImageSet
from sam_train.data.sets.mask_folder_set import MaskFolderSet
from sam_train.data.store.bad_samples import OnBad

FORMATS = {
    "coco": CocoSet,
    "lvis": CocoSet,
    "panoptic": PanopticSet,
    "masks": MaskFolderSet,
    "bsds": BsdsSet,
    "via": ViaSet,
    "label-studio": LabelStudioSet,
    "cvat": CvatSet,
}
NOT_OF_THE_SET = {"command", "out", "source", "images_per_shard", "workers"}


def set_arguments(parsed: argparse.Namespace) -> dict[str, Any]:
    """The options that are the set's own, under the names of its arguments."""
    return {key: value for key, value in vars(parsed).items() if key not in NOT_OF_THE_SET}


def build_set(parsed: argparse.Namespace, on_bad: OnBad) -> ImageSet:
    """The set; what it cannot use goes to `on_bad`."""
    return FORMATS[parsed.command](parsed.source, **set_arguments(parsed), on_bad=on_bad)
