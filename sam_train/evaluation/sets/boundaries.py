"""BSDS500 with the boundaries that each person drew."""

import os
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from scipy.io import loadmat

from sam_train.data.images import read_image
from sam_train.data.sets.bsds_set import bsds_masks
from sam_train.data.sets.image_folder import file_keys, find_images, require_folder
from sam_train.data.sets.known_masks import UnusableMask
from sam_train.data.sets.labeled_image import ImageList
from sam_train.evaluation.sets.annotated_image import AnnotatedImage


class BoundarySet(ImageList):
    """The images of BSDS500 that have a KEY.mat in `ground_truth`."""

    def __init__(
        self,
        name: str,
        images: str | os.PathLike[str],
        ground_truth: str | os.PathLike[str],
    ) -> None:
        folder = require_folder(ground_truth, option="ground_truth", name=name)
        files = file_keys(
            find_images(images, option="images", name=name), Path(images).expanduser()
        )
        drawn = {key: folder / f"{file.stem}.mat" for key, file in files.items()}
        known = [key for key in files if drawn[key].is_file()]
        if not known:
            raise ValueError(f"{name}: {folder} holds no KEY.mat of an image in {images}")
        super().__init__(
            name,
            [
                AnnotatedImage(
                    key,
                    partial(read_image, files[key]),
                    partial(bsds_masks, files[key], drawn[key]),
                    boundaries=partial(read_boundaries, drawn[key]),
                )
                for key in known
            ],
        )


def read_boundaries(file: Path) -> list[Bool[np.ndarray, "H W"]]:
    """The boundary pixels that each person drew."""
    try:
        people = loadmat(file)["groundTruth"][0]
        return [np.ascontiguousarray(person[0, 0]["Boundaries"] > 0) for person in people]
    except Exception as error:  # scipy raises anything on a damaged file
        raise UnusableMask(f"{file} is no BSDS500 ground truth: {error}") from error
