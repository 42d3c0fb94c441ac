import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sam_train.data.images import (
    UnreadableImage,
    encode_jpeg,
    image_size,
    is_plain_jpeg,
    read_image,
)


def picture(height: int = 20, width: int = 30) -> np.ndarray:
    """A smooth picture with another value in every corner."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 8, columns * 8, 0 * rows], axis=-1).astype(np.uint8)


def stored(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def upright_of(stored: np.ndarray) -> dict[int, np.ndarray]:
    """What each orientation makes of the stored rows and columns (EXIF 2.3, table 5)."""
    turned = stored.transpose(1, 0, 2)
    return {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1],
        5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1],
    }  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image_bytes = stored(Image.fromarray(picture()), "PNG", exif=exif)

    image = read_image(image_bytes)

    assert np.array_equal(image, upright_of(picture())[orientation])
    assert image_size(image_bytes) == image.shape[:2]


def test_16_bits_are_stretched_over_their_own_range(tmp_path: Path) -> None:
    grey = np.linspace(1000, 3000, 20 * 30).reshape(20, 30).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "ct.png")

    image = read_image(tmp_path / "ct.png")

    assert (image[0, 0, 0], image[-1, -1, 0]) == (0, 255)
    assert np.ptp(image, axis=2).max() == 0


def test_small_values_in_a_16_bit_file_are_kept() -> None:
    grey = np.arange(20 * 12, dtype=np.uint16).reshape(20, 12)[:, :, None].repeat(2, 2)
    grey = np.concatenate([grey[..., 0], grey[..., 1]], axis=1)

    image = read_image(stored(Image.fromarray(grey), "PNG"))

    assert np.array_equal(image[..., 0], grey)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    format = "TIFF" if mode == "CMYK" else "PNG"

    image = read_image(stored(Image.fromarray(picture()).convert(mode), format))

    assert image.shape == (20, 30, 3) and image.dtype == np.uint8


def test_transparent_pixels_keep_their_colour() -> None:
    rgba = np.dstack([picture(), np.zeros((20, 30), np.uint8)])

    assert np.array_equal(read_image(stored(Image.fromarray(rgba), "PNG")), picture())


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]

    image = read_image(stored(frames[0], "GIF", save_all=True, append_images=frames[1:]))

    assert image[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_truncated_file_is_named(tmp_path: Path, format: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    file = tmp_path / "cut.jpg"
    file.write_bytes(stored(Image.fromarray(noise), format)[:-500])

    with pytest.raises(UnreadableImage, match="cut.jpg is no usable image"):
        read_image(file)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\xff\xd8\xff\xe0junk"])
def test_what_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "note.jpg"
    file.write_bytes(content)

    with pytest.raises(UnreadableImage, match="note.jpg is no usable image"):
        read_image(file)


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="it is a folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg does not exist"):
        read_image(tmp_path / "nowhere.jpg")


def test_a_tiny_image_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="8 x 20 pixels, less than 16"):
        read_image(stored(Image.new("RGB", (8, 20)), "PNG"))


def test_an_image_longer_than_any_jpeg_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="more than 65,535 on a side; cut it up"):
        read_image(stored(Image.new("L", (70_000, 20)), "PNG"))


@pytest.mark.parametrize("side", [11_000, 20_000])
def test_a_huge_image_is_refused_by_its_header(side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    png += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"

    with pytest.raises(UnreadableImage, match="pixels"):
        read_image(png, max_pixels=100_000_000)


def test_only_jpegs_that_every_decoder_reads_alike_are_plain() -> None:
    image = Image.fromarray(picture())
    turned = Image.Exif()
    turned[0x0112] = 6

    assert is_plain_jpeg(stored(image, "JPEG"))
    assert is_plain_jpeg(stored(image.convert("L"), "JPEG"))
    assert not is_plain_jpeg(stored(image, "JPEG", exif=turned))
    assert not is_plain_jpeg(stored(image.convert("CMYK"), "JPEG"))
    assert not is_plain_jpeg(stored(image, "PNG"))


def test_encoding_as_jpeg_changes_little() -> None:
    error = np.abs(read_image(encode_jpeg(picture())).astype(int) - picture())

    assert error.max() <= 8
