"""From an image to the model's input frame: which part is shown, how large, and its masks."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from sam_train.data.images import open_image, read_image
from sam_train.data.rle import Rle, sample_rles

_END_OF_JPEG = b"\xff\xd9"
_DCT_SCALES = {  # a JPEG's blocks of 8 x 8 decoded to 4 x 4, 2 x 2 or 1 pixel; in colour or grey
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


@dataclass(frozen=True)
class View:
    """The part of an image (top, left, height, width) that becomes `input_size` pixels.

    One that does not keep its aspect is stretched to the square input frame.
    """

    top: int
    left: int
    height: int
    width: int
    input_size: tuple[int, int]
    flipped: bool = False
    keeps_aspect: bool = True


def size_in_frame(
    size: tuple[int, int], image_size: int, *, keeps_aspect: bool = True, factor: float = 1.0
) -> tuple[int, int]:
    """The (H, W) with the longest side at `image_size` times the factor, rounded as SAM does.

    Both sides are as long where images are stretched.
    """
    if not keeps_aspect:
        size = (image_size, image_size)
    scale = image_size / max(size) * factor
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


def whole_view(
    size: tuple[int, int], image_size: int, *, flipped: bool = False, keeps_aspect: bool = True
) -> View:
    """All of an image, its longest side at `image_size`: what SAM sees at inference.

    A model for which `Sam.keeps_aspect` is false sees it stretched.
    """
    input_size = size_in_frame(size, image_size, keeps_aspect=keeps_aspect)
    return View(0, 0, *size, input_size, flipped, keeps_aspect)


def jittered_view(
    size: tuple[int, int],
    image_size: int,
    rng: np.random.Generator,
    *,
    scale_range: tuple[float, float],
    flipped: bool = False,
    keeps_aspect: bool = True,
) -> View:
    """Large-scale jitter (Ghiasi et al. 2021): a random scale, then a random crop that fits.

    SAM, App. A, uses the range 0.1 to 2.0 when it trains on the first two phases alone.
    """
    factor = rng.uniform(*scale_range)
    scaled = size_in_frame(size, image_size, keeps_aspect=keeps_aspect, factor=factor)
    input_size = (min(scaled[0], image_size), min(scaled[1], image_size))
    shown = [
        max(1, round(side * seen / full))
        for side, seen, full in zip(size, input_size, scaled, strict=True)
    ]
    top, left = (int(rng.integers(side - part + 1)) for side, part in zip(size, shown, strict=True))
    return View(top, left, shown[0], shown[1], input_size, flipped, keeps_aspect)


def decode_image(image_bytes: bytes, *, dct_scale: int = 1) -> UInt8[Tensor, "3 H W"]:
    """Decodes an image to upright RGB; a whole JPEG takes the fast path.

    A `dct_scale` of 2, 4 or 8 decodes a JPEG to so many times fewer pixels a side, rounded up,
    and is not heeded for other formats. Raises UnreadableImage for what no decoder reads, and
    before decoding for what is too large.
    """
    with open_image(image_bytes):
        pass  # its header is sound and its size within the limits
    image = None
    if image_bytes.endswith(_END_OF_JPEG):  # OpenCV paints what a cut file lacks in grey
        flags = cv2.IMREAD_COLOR_RGB | _DCT_SCALES[dct_scale]
        image = cv2.imdecode(np.frombuffer(image_bytes, np.uint8), flags)
    if image is None:
        image = read_image(image_bytes)
    return torch.from_numpy(image).permute(2, 0, 1)


def fitting_dct_scale(view: View, size: tuple[int, int]) -> int:
    """The scale of `decode_image` that leaves a view of the image as many pixels as it shows.

    It is 1 unless the view is of the whole image (`size` is H, W) at half its size or less.
    """
    if (view.top, view.left, view.height, view.width) != (0, 0, *size):
        return 1
    times_fewer = min(side // shown for side, shown in zip(size, view.input_size, strict=True))
    return max((scale for scale in _DCT_SCALES if scale <= times_fewer), default=1)


def view_image(
    image: UInt8[Tensor, "3 H W"], view: View, image_size: int
) -> UInt8[Tensor, "3 S S"]:
    """Crops, resizes (bilinear, on bytes) and pads with 0 below and to the right.

    Images that are stretched are not antialiased, as in EfficientSAM (`ResizeToSquare`). A view
    of the whole image may be given the image at a smaller size (`dct_scale`).
    """
    part = image[:, view.top : view.top + view.height, view.left : view.left + view.width]
    if part.shape[1:] != view.input_size:
        part = F.interpolate(
            part[None], view.input_size, mode="bilinear", antialias=view.keeps_aspect
        )[0]
    if view.flipped:
        part = part.flip(2)
    height, width = view.input_size
    return F.pad(part, (0, image_size - width, 0, image_size - height))


def view_grid(
    view: View, image_size: int, mask_size: int
) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " w"]]:
    """The image rows and columns under the centres of the mask grid's cells.

    The grid of `mask_size` cells a side covers the whole padded frame; cells in the padding have
    no row or column, so that h and w may be smaller. Columns descend in a flipped view.
    """
    centres = (np.arange(mask_size) + 0.5) * image_size / mask_size  # in the input frame
    height, width = view.input_size
    y, x = centres[centres < height], centres[centres < width]
    if view.flipped:
        x = width - x
    rows = np.floor(y * view.height / height).astype(np.int64)
    columns = np.floor(x * view.width / width).astype(np.int64)
    return rows + view.top, columns.clip(max=view.width - 1) + view.left


def view_masks(
    rles: Sequence[Rle],
    rows: Int[np.ndarray, " h"],
    columns: Int[np.ndarray, " w"],
    mask_size: int,
) -> Bool[np.ndarray, "N s s"]:
    """The masks of one image on its grid, none painted at its own size.

    Several times as fast at once as one by one.
    """
    masks = np.zeros((len(rles), mask_size, mask_size), bool)
    return sample_rles(rles, rows, columns, out=masks)


def boxes_on_grid(
    boxes: Float[np.ndarray, "N 4"], rows: Int[np.ndarray, " h"], columns: Int[np.ndarray, " w"]
) -> Bool[np.ndarray, " N"]:
    """Whether a cell centre lies in each XYWH box; a mask whose box has none is lost on the grid.

    Boxes are taken one pixel too wide: SA-1B's leave out their last row and column.
    """
    x, y, width, height = boxes.T
    columns = np.sort(columns)
    in_rows = np.searchsorted(rows, y) < np.searchsorted(rows, y + height, side="right")
    in_columns = np.searchsorted(columns, x) < np.searchsorted(columns, x + width, side="right")
    return in_rows & in_columns
