"""BSDS500: photographs that several people cut into regions."""

import os
from collections.abc import Collection
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from sam_train.data.images import image_size
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.sets.image_folder import file_keys, find_images, image_of_file, require_folder
from sam_train.data.sets.known_masks import (
    UnusableMask,
    checked_masks,
    report_orphans,
    report_unmasked,
)
from sam_train.data.sets.labeled_image import ImageList
from sam_train.data.store.bad_samples import OnBad


class BsdsSet(ImageList):
    """BSDS500: images with .mat files of several human segmentations.

    Every region of the finest annotator (the one with most regions) is a mask.
    """

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        ground_truth: str | os.PathLike[str],
        *,
        skip: Collection[str] = (),
        on_bad: OnBad | None = None,
    ) -> None:
        folder = require_folder(ground_truth, option="ground_truth", name=name)
        files = find_images(images, option="images", name=name)
        truth_of = {file.stem: file for file in sorted(folder.glob("*.mat"))}
        keyed = file_keys(files, Path(images).expanduser())
        labeled = [
            image_of_file(key, file, partial(bsds_masks, file, truth_of[file.stem]))
            for key, file in keyed.items()
            if file.stem in truth_of
        ]
        if not labeled:
            raise ValueError(f"{name}: {folder} holds no KEY.mat of an image in {images}")
        orphans = truth_of.keys() - {file.stem for file in files}
        reasons = {key: f"{truth_of[key]} has no image in {images}" for key in sorted(orphans)}
        report_orphans(reasons, on_bad, name=name)
        unmasked = {key: file for key, file in keyed.items() if file.stem not in truth_of}
        report_unmasked(unmasked, on_bad, name=name)
        super().__init__(name, labeled, skip=skip)


def bsds_masks(image: Path, ground_truth: Path) -> list[Rle]:
    """The regions of the finest segmentation in a BSDS500 file."""
    try:
        annotators = loadmat(ground_truth)["groundTruth"][0]
        segmentations = [annotator[0, 0]["Segmentation"] for annotator in annotators]
        finest = max(segmentations, key=np.max)
    except Exception as error:  # scipy raises anything on a damaged file
        raise UnusableMask(f"{ground_truth} is no BSDS500 ground truth: {error}") from error
    masks = (encode_mask(finest == region) for region in np.unique(finest) if region > 0)
    return checked_masks(masks, image_size(image), source=ground_truth)
