"""Pixels that count for nothing, from the same files as the masks."""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from sam_train.data.sets.image_folder import file_keys, find_images
from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.data.sets.mask_folder_set import read_labels
from sam_train.evaluation.sets.annotated_image import AnnotatedImage


class IgnoringSet:
    """A set with one label file for each image, in which some values mean: do not count this.

    GrabCut's undecided band is 128, the void of DAVIS and VOC 255. The files lie in `labels`
    under the paths of their images, as in the layouts `binary` and `label_image`.
    """

    def __init__(
        self, image_set: ImageSet, labels: str | os.PathLike[str], values: Sequence[int]
    ) -> None:
        self.name = image_set.name
        self._image_set = image_set
        self._values = list(values)
        files = find_images(labels, option="labels", name=self.name)
        self._files = file_keys(files, Path(labels).expanduser())

    def __len__(self) -> int:
        return len(self._image_set)

    def __iter__(self) -> Iterator[LabeledImage]:
        for image in self._image_set:
            if image.key not in self._files:
                raise ValueError(f"{self.name}: `labels` holds no file for image {image.key}")
            ignored = partial(pixels_with, self._files[image.key], self._values)
            yield AnnotatedImage(image.key, image.load, image.masks, image.encoded, ignored)


def pixels_with(file: Path, values: Sequence[int]) -> Bool[np.ndarray, "H W"]:
    """The pixels of a label file that have one of the values."""
    return np.isin(read_labels(file), values)
