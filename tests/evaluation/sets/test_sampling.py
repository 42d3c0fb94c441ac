from collections.abc import Iterator

import numpy as np
import pytest

from sam_train.data.rle import encode_mask
from sam_train.data.sets.labeled_image import LabeledImage
from sam_train.evaluation.sets.sampling import evaluated_images

MASK = encode_mask(np.ones((16, 16), bool))


def read() -> np.ndarray:
    return np.zeros((16, 16, 3), np.uint8)


def unreadable() -> np.ndarray:
    raise ValueError("torn")


class Blanks:
    """Empty images, each with the given number of masks."""

    name = "blanks"

    def __init__(self, masks: dict[str, int], broken: str | None = None) -> None:
        self.masks = masks
        self.broken = broken

    def __len__(self) -> int:
        return len(self.masks)

    def __iter__(self) -> Iterator[LabeledImage]:
        for key, count in self.masks.items():
            load = unreadable if key == self.broken else read
            yield LabeledImage(key, load, lambda count=count: [MASK] * count)


MANY = {f"image-{n}": n for n in range(12)}


def chosen(image_set: Blanks, **limits) -> dict[str, list[int]]:
    return {image.key: list(image.masks) for image in evaluated_images(image_set, **limits)}


def test_without_limits_everything_with_a_mask_is_evaluated():
    assert chosen(Blanks(MANY)) == {key: list(range(n)) for key, n in MANY.items() if n}


def test_a_sample_does_not_depend_on_the_order_of_the_set():
    backwards = dict(reversed(MANY.items()))
    limits = {"max_masks": 20, "max_masks_per_image": 4}

    assert chosen(Blanks(MANY), **limits) == chosen(Blanks(backwards), **limits)


def test_a_sample_holds_as_many_masks_as_asked_for():
    for limit in (1, 7, 66):
        assert sum(map(len, chosen(Blanks(MANY), max_masks=limit).values())) == limit
    assert chosen(Blanks(MANY), max_masks=0) == {}


def test_masks_of_an_image_keep_their_index():
    ids = chosen(Blanks({"a": 50}), max_masks_per_image=3)["a"]

    assert ids == sorted(ids)
    assert len(ids) == 3
    assert ids != [0, 1, 2]  # drawn, not the first ones


def test_an_unreadable_image_is_reported_and_left_out():
    bad: list[tuple] = []
    images = Blanks({"a": 1, "b": 1}, broken="a")

    assert chosen(images, on_bad=lambda *what: bad.append(what)) == {"b": [0]}
    assert [(name, key, str(error)) for name, key, error in bad] == [("blanks", "a", "torn")]
    with pytest.raises(ValueError, match="torn"):
        chosen(images)
