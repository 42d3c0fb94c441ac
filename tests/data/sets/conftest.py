"""What small sets are made of, and what comes out of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_train.data.rle import decode_rle
from sam_train.data.sets.labeled_image import ImageSet

HEIGHT, WIDTH = 20, 30


@pytest.fixture
def save() -> Callable[[Path], None]:
    """Writes an empty picture."""

    def save(file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(file)

    return save


@pytest.fixture
def block() -> Callable[[int, int], np.ndarray]:
    """A mask of 4 x 4 pixels."""

    def block(top: int, left: int) -> np.ndarray:
        mask = np.zeros((HEIGHT, WIDTH), bool)
        mask[top : top + 4, left : left + 4] = True
        return mask

    return block


@pytest.fixture
def masks_of() -> Callable[[ImageSet], dict[str, list[np.ndarray]]]:
    """The masks of every image, painted, by its key."""
    return lambda images: {i.key: [decode_rle(rle) for rle in i.masks()] for i in images}
