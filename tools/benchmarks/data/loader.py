"""One core from the bytes of a 1500 x 2250 JPEG with 100 masks to an example of 64 masks.

The image goes to 1024 pixels, the masks to 256 (or 1024). sam2 has no loader in its package; its
public algorithm for SA-1B (`training/dataset`: `SA1BSegmentLoader`, `construct`, `resize`) is
repeated here: each mask is decoded whole and resized by torchvision, the image by PIL. Our aspect
ratio and our 64 masks are used; its flip, affine, colour, tensor and normalising steps are left
out, as we do not have them or leave them to the device.

Equal means that our masks are the decoded ones at the cells' centres, bit by bit, that a mask of
the peer (antialiased, so not the same) overlaps ours by 0.9 on average, and that the images
differ by less than a grey level on average, or two with a reduced decode.

The last rows say how near an example comes to the limit, the time of decoding the JPEG and nothing
else: with masks at 256, decoded whole and at half its size (`reduced_decode`).
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
from sam_train.data.transforms import decode_image, whole_view
from tools.benchmarks.comparison import Comparison
from tools.benchmarks.drawing.drawn_photo import SIZE, photo_files

MASKS, DRAWN, IMAGE_SIZE = 100, 64, 1024
KEY = "sa_1"
VIEW = whole_view(SIZE, IMAGE_SIZE)


def compare() -> list[Comparison]:
    """The whole example at two sizes of masks, and its share of the decode at two of the image."""
    image_bytes, text = photo_files(MASKS)
    makers = {
        "masks at 256": ExampleMaker(IMAGE_SIZE, 256, max_masks=DRAWN),
        "masks at 1024": ExampleMaker(IMAGE_SIZE, IMAGE_SIZE, max_masks=DRAWN),
        "reduced decode": ExampleMaker(IMAGE_SIZE, 256, max_masks=DRAWN, reduced_decode=True),
    }
    rows = {
        name: loader(f"loader, {name}", image_bytes, text, make) for name, make in makers.items()
    }
    shares = {
        "share of the JPEG limit": "masks at 256",
        "the same, reduced decode": "reduced decode",
    }

    def decode() -> torch.Tensor:
        return decode_image(image_bytes)

    return [
        *rows.values(),
        *(
            Comparison(name, "our decode of the whole JPEG alone", rows[of].ours, decode,
                       equal=rows[of].equal, n=1, target=0.7)
            for name, of in shares.items()
        ),
    ]  # fmt: skip


def loader(name: str, image_bytes: bytes, text: bytes, make: ExampleMaker) -> Comparison:
    """Ours beside sam2's."""
    height, width = (round(side * make.mask_size / IMAGE_SIZE) for side in VIEW.input_size)
    grid = (height, width)

    def ours() -> Example:
        return make(Sample(KEY, image_bytes, parse_record(text)), np.random.default_rng(0))

    def of_sam2() -> tuple[torch.Tensor, torch.Tensor]:
        return sam2_example(image_bytes, text, ids, grid)

    example = ours()
    by_seed = {object_seed(0, KEY, id): id for id in range(MASKS)}
    ids = [by_seed[seed] for seed in example["object_seeds"].tolist()]
    image, masks = of_sam2()
    shown = example["gt_masks"][:, : grid[0], : grid[1]]
    overlap = (shown & masks).sum((1, 2)) / (shown | masks).sum((1, 2))
    tolerance = 2.0 if make.reduced_decode else 1.0
    equal = (
        difference(example["image"][:, : VIEW.input_size[0], : VIEW.input_size[1]], image)
        < tolerance
        and torch.equal(shown, torch.from_numpy(at_centres(text, ids, make.mask_size)))
        and overlap.mean().item() > 0.9
    )
    target = 15.0 if make.mask_size == 256 else None
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


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """How many grey levels two images (uint8) differ by on average."""
    return (ours.float() - theirs.float()).abs().mean().item()
