"""What the benchmarks of the data layer work on: an image as large and as full as SA-1B's."""

import io
import json

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from sam_train.data.records import Record, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import draw_scene

SIZE = (1500, 2250)
TILE = 750
SEED = 56


def draw_photo(masks: int) -> tuple[UInt8[np.ndarray, "H W 3"], list[Bool[np.ndarray, "H W"]]]:
    """An image of six scenes and so many of its at most 142 masks, 1.5 % of the image on average.

    A seventh scene gives the large masks; it is not seen, which no benchmark minds.
    """
    large = draw_scene(SEED, SIZE)
    image, drawn = np.zeros_like(large.image), list(large.masks)
    corners = [(top, left) for top in range(0, SIZE[0], TILE) for left in range(0, SIZE[1], TILE)]
    for number, (top, left) in enumerate(corners, start=1):
        scene = draw_scene(SEED + number, (TILE, TILE))
        window = np.s_[top : top + TILE, left : left + TILE]
        image[window] = scene.image
        for mask in scene.masks:
            drawn.append(np.zeros(SIZE, bool))
            drawn[-1][window] = mask
    order = np.random.default_rng(0).permutation(len(drawn))
    return image, [drawn[index] for index in order[:masks]]


def photo_files(masks: int) -> tuple[bytes, bytes]:
    """The image as a JPEG of about 1 MB, colour at half resolution, and its json."""
    image, drawn = draw_photo(masks)
    grain = np.random.default_rng(0).normal(0, 9, SIZE)[..., None]  # of a sensor
    buffer = io.BytesIO()
    pixels = np.clip(image + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, subsampling=2)
    record: Record = {
        "image": {"image_id": 1, "width": SIZE[1], "height": SIZE[0], "file_name": "sa_1.jpg"},
        "annotations": [
            annotation_from_rle(encode_mask(mask), id=id) for id, mask in enumerate(drawn)
        ],
    }
    return buffer.getvalue(), json.dumps(record).encode()
