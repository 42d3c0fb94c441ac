"""Sets of images with or without known masks; other modules import every set from here."""

import os
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from scipy.io import loadmat

from sam_train.data.images import image_size
from sam_train.data.records import Rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import draw_scene
from sam_train.data.sets.coco_set import CocoSet, PanopticSet
from sam_train.data.sets.labeled_image import (
    ImageList,
    ImageSet,
    LabeledImage,
    UnusableMask,
    checked_masks,
    file_keys,
    find_images,
    image_of_file,
    report_orphans,
    report_unmasked,
    require_folder,
)
from sam_train.data.sets.mask_folder_set import MaskFolderSet
from sam_train.data.sets.shard_set import ShardSet
from sam_train.data.sets.via_set import ViaSet
from sam_train.data.store.bad_samples import OnBad

__all__ = [
    "BsdsSet",
    "CocoSet",
    "ImageFolder",
    "ImageSet",
    "LabeledImage",
    "MaskFolderSet",
    "PanopticSet",
    "SceneSet",
    "ShardSet",
    "ViaSet",
]


class ImageFolder(ImageList):
    """All images below a folder, without masks."""

    def __init__(
        self, name: str, path: str | os.PathLike[str], *, skip: Collection[str] = ()
    ) -> None:
        files = find_images(path, option="path", name=name)
        keys = file_keys(files, Path(path).expanduser())
        super().__init__(name, map(image_of_file, keys, keys.values()), skip=skip)


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


class SceneSet:
    """Drawn scenes with exact masks. Scene i has the seed `seed + i`."""

    def __init__(self, name: str, count: int, *, seed: int = 0, image_size: int = 256) -> None:
        self.name = name
        self._count = count
        self._seed = seed
        self._size = (image_size, image_size)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LabeledImage]:
        for seed in range(self._seed, self._seed + self._count):
            key = f"{seed:06d}"
            yield LabeledImage(key, partial(self._image, seed), partial(self._masks, seed))

    def _image(self, seed: int) -> UInt8[np.ndarray, "H W 3"]:
        return draw_scene(seed, self._size).image

    def _masks(self, seed: int) -> list[Rle]:
        return [encode_mask(mask) for mask in draw_scene(seed, self._size).masks]
