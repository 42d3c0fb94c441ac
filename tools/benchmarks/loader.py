"""One core from the bytes of a 1500 x 2250 JPEG with 100 masks to an example of 64 masks.

The image goes to 1024 pixels, the masks to 256 (or 1024). sam2 has no loader in its package; its
public algorithm for SA-1B (`training/dataset`: `SA1BSegmentLoader`, `construct`, `resize`) is
repeated here: each mask is decoded whole and resized by torchvision, the image by PIL. Our aspect
ratio and our 64 masks are used; its flip, affine, colour, tensor and normalising steps are left
out, as we do not have them or leave them to the device.

Equal means that our masks are the decoded ones at the cells' centres, bit by bit, that a mask of
the peer (antialiased, so not the same) overlaps ours by 0.9 on average, and that the images
differ by less than a grey level on average.
"""

import io
import json

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco
from torchvision.transforms.functional import resize

from sam_train.data.records import Sample, parse_record
from sam_train.data.stream.collate import Example
from sam_train.data.stream.examples import ExampleMaker, object_seed
from sam_train.data.transforms import dct_scale, decode_image, view_image, whole_view
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawn_photo import SIZE, photo_files

MASKS, DRAWN, IMAGE_SIZE = 100, 64, 1024
KEY = "sa_1"
VIEW = whole_view(SIZE, IMAGE_SIZE)


def compare() -> list[Comparison]:
    """The whole example at two sizes of masks, its share of the decode, and a scaled decode."""
    image_bytes, text = photo_files(MASKS)
    whole = [loader(image_bytes, text, mask_size) for mask_size in (256, IMAGE_SIZE)]

    def decode() -> torch.Tensor:
        return decode_image(image_bytes)

    def view() -> torch.Tensor:
        return view_image(decode(), VIEW, IMAGE_SIZE)

    def scaled_view() -> torch.Tensor:
        scaled = decode_image(image_bytes, dct_scale=dct_scale(VIEW, SIZE))
        return view_image(scaled, VIEW, IMAGE_SIZE)

    limit = Comparison("share of decode limit", "our decode of the JPEG alone",
                       whole[0].ours, decode, equal=True, n=1, target=0.7)  # fmt: skip
    scaled = Comparison("image at DCT scale", "our image at full scale",
                        scaled_view, view, equal=near(scaled_view(), view()), n=1)  # fmt: skip
    return [*whole, limit, scaled]


def loader(image_bytes: bytes, text: bytes, mask_size: int) -> Comparison:
    """Ours beside sam2's, with masks on a grid of `mask_size`."""
    maker = ExampleMaker(IMAGE_SIZE, mask_size, max_masks=DRAWN)
    height, width = (round(side * mask_size / IMAGE_SIZE) for side in VIEW.input_size)
    grid = (height, width)

    def ours() -> Example:
        sample = Sample(KEY, image_bytes, parse_record(text))
        return maker(sample, np.random.default_rng(0))

    def of_sam2() -> tuple[torch.Tensor, torch.Tensor]:
        return sam2_example(image_bytes, text, ids, grid)

    example = ours()
    by_seed = {object_seed(0, KEY, id): id for id in range(MASKS)}
    ids = [by_seed[seed] for seed in example["object_seeds"].tolist()]
    image, masks = of_sam2()
    shown = example["gt_masks"][:, : grid[0], : grid[1]]
    overlap = (shown & masks).sum((1, 2)) / (shown | masks).sum((1, 2))
    equal = (
        near(example["image"][:, : VIEW.input_size[0], : VIEW.input_size[1]], image)
        and torch.equal(shown, torch.from_numpy(at_centres(text, ids, mask_size)))
        and overlap.mean().item() > 0.9
    )
    name, target = f"loader, masks at {mask_size}", 15.0 if mask_size == 256 else None
    return Comparison(name, "sam2's algorithm", ours, of_sam2, equal=equal, n=1, target=target)


def sam2_example(
    image_bytes: bytes, text: bytes, ids: list[int], grid: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The image (3, H, W) and the masks (N, h, w) as sam2 loads and resizes them."""
    annotations = [a for a in json.loads(text)["annotations"] if a["area"] > 0]
    image = Image.open(io.BytesIO(image_bytes)).convert("RGB")
    segments = [
        torch.from_numpy(coco.decode([annotations[id]["segmentation"]])).permute(2, 0, 1)[0]
        for id in ids
    ]
    shown = torch.from_numpy(np.array(resize(image, VIEW.input_size))).permute(2, 0, 1)
    masks = [resize(segment[None, None], grid).squeeze() for segment in segments]
    return shown, torch.stack(masks).bool()


def at_centres(text: bytes, ids: list[int], mask_size: int) -> np.ndarray:
    """The masks, decoded by pycocotools, under the centres of the grid's cells that show image."""
    annotations = json.loads(text)["annotations"]
    centres = (np.arange(mask_size) + 0.5) * IMAGE_SIZE / mask_size
    rows, columns = (
        np.floor(centres[centres < shown] * side / shown).astype(int)
        for shown, side in zip(VIEW.input_size, SIZE, strict=True)
    )
    return np.stack(
        [coco.decode(annotations[id]["segmentation"])[rows][:, columns].astype(bool) for id in ids]
    )


def near(ours: torch.Tensor, theirs: torch.Tensor) -> bool:
    """Whether two images (uint8) differ by less than a grey level on average."""
    return (ours.float() - theirs.float()).abs().mean().item() < 1
