import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from sam_train.data.images import encode_jpeg
from sam_train.data.rle import encode_mask, resize_rle
from sam_train.data.transforms import (
    View,
    boxes_on_grid,
    decode_image,
    fitting_dct_scale,
    jittered_view,
    size_in_frame,
    view_grid,
    view_image,
    view_masks,
    whole_view,
)


def on_grid(mask: np.ndarray, view: View, image_size: int, mask_size: int) -> np.ndarray:
    return view_masks([encode_mask(mask)], *view_grid(view, image_size, mask_size), mask_size)[0]


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (768, 1024)), ((1, 1000), (1, 1024)), ((999, 333), (1024, 341))],
)
def test_the_longest_side_is_resized_and_rounded_as_in_sam(size, expected):
    assert size_in_frame(size, 1024) == expected


def test_an_image_is_resized_like_pil_and_padded_below_and_right():
    image = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    shown = view_image(torch.from_numpy(image).permute(2, 0, 1), whole_view((96, 64), 48), 48)
    expected = np.asarray(Image.fromarray(image).resize((32, 48), Image.Resampling.BILINEAR))
    assert np.abs(shown[:, :, :32].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1
    assert (shown[:, :, 32:] == 0).all()


def test_masks_lie_where_the_image_lies():
    mask = np.zeros((60, 90), bool)
    mask[20:50, 30:80] = True
    image = torch.from_numpy(mask.astype(np.uint8) * 255).expand(3, -1, -1)
    for flipped in (False, True):
        for view in (
            whole_view((60, 90), 60, flipped=flipped),
            whole_view((60, 90), 60, flipped=flipped, keeps_aspect=False),
            View(10, 15, 45, 60, (45, 60), flipped),
        ):
            shown = view_image(image, view, 60)[0].numpy() > 127
            assert np.array_equal(on_grid(mask, view, 60, 60), shown)


def test_the_whole_view_of_a_mask_is_its_resize():
    mask = np.random.default_rng(0).random((120, 160)) < 0.5
    grid = on_grid(mask, whole_view((120, 160), 64), 64, 16)
    assert np.array_equal(grid[:12], resize_rle(encode_mask(mask), (12, 16)))
    assert not grid[12:].any()


def test_a_flipped_mask_is_mirrored_inside_the_image_and_not_in_the_padding():
    mask = np.random.default_rng(0).random((64, 32)) < 0.5
    plain, flipped = (
        on_grid(mask, whole_view((64, 32), 64, flipped=f), 64, 64) for f in (False, True)
    )
    assert np.array_equal(flipped[:, :32], plain[:, 31::-1])
    assert not flipped[:, 32:].any()


@pytest.mark.parametrize("size", [(480, 640), (37, 500), (700, 64)])
def test_jitter_never_leaves_the_image_or_the_frame(size):
    rng = np.random.default_rng(0)
    for number in range(100):
        stretched = number % 2 == 0
        view = jittered_view(size, 256, rng, scale_range=(0.1, 2.0), keeps_aspect=not stretched)
        assert not stretched or view.input_size[0] == view.input_size[1]
        assert 0 <= view.top <= view.top + view.height <= size[0]
        assert 0 <= view.left <= view.left + view.width <= size[1]
        assert min(view.input_size) >= 1 and max(view.input_size) <= 256
        rows, columns = view_grid(view, 256, 64)
        assert (np.diff(rows) >= 0).all() and (rows < view.top + view.height).all()
        assert (columns >= view.left).all() and (columns < view.left + view.width).all()


def test_jitter_keeps_the_scale_of_both_sides():
    view = jittered_view((480, 640), 256, np.random.default_rng(1), scale_range=(2.0, 2.0))
    assert view.input_size == (256, 256)
    assert (view.height, view.width) == (320, 320)


def test_a_stretched_image_is_jittered_in_its_stretched_shape():
    rng = np.random.default_rng(1)
    view = jittered_view((480, 640), 256, rng, scale_range=(2.0, 2.0), keeps_aspect=False)
    assert view.input_size == (256, 256)
    assert (view.height, view.width) == (240, 320)


def test_only_masks_whose_box_holds_no_cell_centre_are_called_lost():
    rng = np.random.default_rng(0)
    view = whole_view((200, 300), 64)
    rows, columns = view_grid(view, 64, 16)
    for _ in range(200):
        top, left = rng.integers(0, 195), rng.integers(0, 295)
        height, width = rng.integers(1, 30, 2)
        mask = np.zeros((200, 300), bool)
        mask[top : top + height, left : left + width] = True
        rows_on, columns_on = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y = float(columns_on[0]), float(rows_on[0])
        narrow = np.array([[x, y, columns_on[-1] - x, rows_on[-1] - y]])  # as SA-1B writes it
        if on_grid(mask, view, 64, 16).any():
            assert boxes_on_grid(narrow, rows, columns).all()
            assert boxes_on_grid(narrow, rows, columns[::-1]).all()
    assert not boxes_on_grid(np.array([[1.0, 1.0, 2.0, 2.0]]), rows, columns).any()


def test_masks_are_viewed_at_once_as_one_by_one():
    rng = np.random.default_rng(0)
    rles = [encode_mask(rng.random((120, 160)) < share) for share in (0, 0.2, 0.9)]
    for flipped in (False, True):
        grid = view_grid(whole_view((120, 160), 64, flipped=flipped), 64, 16)
        masks = view_masks(rles, *grid, 16)
        assert np.array_equal(masks, [view_masks([rle], *grid, 16)[0] for rle in rles])
    assert view_masks([], *grid, 16).shape == (0, 16, 16)


def jpeg_of(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def test_other_formats_than_jpeg_are_decoded_too():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    decoded = decode_image(jpeg_of(image, format="PNG"))
    assert np.array_equal(decoded.permute(1, 2, 0).numpy(), np.asarray(image))
    assert decode_image(jpeg_of(image.convert("L"), format="JPEG")).shape == (3, 20, 30)


def test_jpegs_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode_image(jpeg_of(Image.new("RGB", (30, 20)), format="JPEG", exif=exif)).shape[
        1:
    ] == (
        30,
        20,
    )


def test_broken_images_are_value_errors():
    jpeg = encode_jpeg(np.zeros((64, 64, 3), np.uint8))
    for broken in (b"", b"no image", jpeg[: len(jpeg) // 2]):
        with pytest.raises(ValueError, match="no usable image"):
            decode_image(broken)


def test_a_jpeg_is_decoded_to_fewer_pixels_in_its_blocks():
    rows, columns = np.mgrid[:100, :150]
    smooth = np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)
    jpeg = encode_jpeg(smooth)
    for scale in (2, 4, 8):
        image = decode_image(jpeg, dct_scale=scale).permute(1, 2, 0).numpy()
        assert image.shape == (-(-100 // scale), -(-150 // scale), 3)
        whole = smooth[: 96 // scale * scale, : 144 // scale * scale]
        means = whole.reshape(96 // scale, scale, 144 // scale, scale, 3).mean((1, 3))
        assert np.abs(image[: 96 // scale, : 144 // scale] - means).max() < 3


@pytest.mark.parametrize(
    ("size", "image_size", "scale"),
    [((1500, 2250), 1024, 2), ((1500, 2250), 256, 8), ((480, 640), 512, 1), ((512, 640), 320, 2)],
)
def test_blocks_are_decoded_to_no_fewer_pixels_than_are_shown(size, image_size, scale):
    assert fitting_dct_scale(whole_view(size, image_size), size) == scale


def test_only_a_view_of_the_whole_image_is_decoded_at_a_scale():
    assert fitting_dct_scale(View(0, 0, 100, 100, (10, 10)), (100, 101)) == 1
    assert fitting_dct_scale(View(1, 0, 100, 100, (10, 10)), (101, 100)) == 1


def test_a_view_of_a_scaled_decode_shows_the_same():
    rows, columns = np.mgrid[:240, :320]
    jpeg = encode_jpeg(np.stack([rows, columns // 2, rows // 2], axis=-1).astype(np.uint8))
    view = whole_view((240, 320), 64)
    full, scaled = (
        view_image(decode_image(jpeg, dct_scale=scale), view, 64).numpy().astype(int)
        for scale in (1, fitting_dct_scale(view, (240, 320)))
    )
    assert np.abs(full - scaled).max() <= 3


@pytest.mark.parametrize("sides", [(10_000, 20_000), (60_000, 60_000)])
def test_a_jpeg_of_200_megapixels_is_refused_before_it_is_decoded(sides):
    jpeg = bytearray(encode_jpeg(np.zeros((64, 64, 3), np.uint8)))
    frame = jpeg.index(b"\xff\xc0")  # marker, length, precision, height, width
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", *sides)
    with pytest.raises(ValueError, match="more than 178,956,970.*resize it first"):
        decode_image(bytes(jpeg))
