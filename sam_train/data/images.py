"""Reading any image file as RGB pixels, and writing JPEG."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, UnidentifiedImageError

from sam_train.data.image_limits import MAX_PIXELS, check_size
from sam_train.data.records import BadSample, ImageInfo

ORIENTATION_TAG = 0x0112
UPRIGHT = {  # EXIF orientation -> what turns the stored pixels upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(BadSample):
    """A file that gives no image, or one of another size than its record says."""


@contextmanager
def open_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Opens an image by its header; pixels are decoded when the caller asks for them.

    Whatever goes wrong in the `with` block is an UnreadableImage (a ValueError) that names the
    file; a file that is not there is a FileNotFoundError.
    """
    name = f"an image of {len(source)} bytes" if isinstance(source, bytes) else str(source)
    if isinstance(source, Path) and not source.exists():
        raise FileNotFoundError(f"the image {name} does not exist")
    try:
        if isinstance(source, Path) and source.is_dir():
            raise ValueError("it is a folder")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PIL's remarks on odd metadata and on size
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                check_size(image.width, image.height, max_pixels=max_pixels)
                yield image
    except UnidentifiedImageError as error:
        raise UnreadableImage(f"{name} is no usable image: its format is not known") from error
    except Image.DecompressionBombError as error:  # PIL's own check comes first
        reason = f"more than {MAX_PIXELS:,} pixels; resize it first"
        raise UnreadableImage(f"{name} is no usable image: {reason}") from error
    except Exception as error:  # decoders raise anything on a damaged file, struct.error included
        raise UnreadableImage(f"{name} is no usable image: {error}") from error


def read_image(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "H W 3"]:
    """Reads any image as upright RGB (EXIF orientation applied, first frame of an animation).

    Transparency is dropped: aerial tiles declare their darkest pixels transparent. Grey values
    beyond 8 bits are stretched from their own lowest and highest value. Raises the errors of
    `open_image`.
    """
    with open_image(source, max_pixels=max_pixels) as image:
        return np.array(to_rgb(upright(image)))


def image_size(source: Path | bytes) -> tuple[int, int]:
    """The (height, width) that `read_image` gives, from the header alone."""
    with open_image(source) as image:
        turned = orientation(image) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def check_recorded_size(size: tuple[int, int], info: ImageInfo) -> None:
    """Raises UnreadableImage unless an image has the (H, W) of its record: masks would be off."""
    if size != (info["height"], info["width"]):
        raise UnreadableImage(
            f"The image is {size[1]} x {size[0]} pixels, its record says "
            f"{info['width']} x {info['height']}."
        )


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where none or nonsense is written."""
    value = image.getexif().get(ORIENTATION_TAG, 1)
    return value if value in UPRIGHT else 1


def upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says."""
    method = UPRIGHT.get(orientation(image))
    return image if method is None else image.transpose(method)


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB, whatever its mode."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(stretch_to_8_bits(np.asarray(image)))
    return image.convert("RGB")


def stretch_to_8_bits(grey: Num[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W"]:
    """Maps the lowest value to 0 and the highest to 255; values that fit in 8 bits are kept."""
    low, high = grey.min(), grey.max()
    if not np.isfinite([low, high]).all():
        raise ValueError("it holds values that are no finite numbers")
    if grey.dtype.kind in "iu" and low >= 0 and high <= 255:
        return grey.astype(np.uint8)
    span = max(float(high) - float(low), np.finfo(np.float64).tiny)
    return np.round((grey.astype(np.float64) - low) / span * 255).astype(np.uint8)


def is_plain_jpeg(image_bytes: bytes) -> bool:
    """Whether every JPEG decoder reads these bytes as `read_image` does: grey or RGB, upright."""
    with open_image(image_bytes) as image:
        return image.format == "JPEG" and image.mode in {"L", "RGB"} and orientation(image) == 1


def encode_jpeg(image: UInt8[np.ndarray, "H W 3"], quality: int = 95) -> bytes:
    """The image as JPEG bytes, colour at full resolution."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
