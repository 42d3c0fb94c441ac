"""Automatic masks of a 1500 x 2250 image by ViT-H on one GPU, from the pixels on, 32 x 32 points.

Both networks hold the same random weights and run in full; what clicks are answered with is drawn
(`drawn_answers`). The peer is segment-anything, as it is published and under bf16 autocast, which
its users may add. Before anything is timed the masks are compared: on a GPU a pixel may differ
whose logit is within rounding of a threshold, so the smallest IoU is printed.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from statistics import median
from typing import Any

import segment_anything
import torch
from pycocotools import mask as coco_mask

from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.modeling.build import build_sam_vit
from sam_train.modeling.weights.loading import official_state_dict
from tools.benchmarks.drawing.drawn_photo import draw_photo
from tools.benchmarks.inference.amg import MASKS, answer_with

RUNS = 5
TARGET_S = 0.5
SETTINGS: dict[str, Any] = {"points_per_side": 32, "output_mode": "coco_rle"}

Records = list[dict[str, Any]]
Work = Callable[[], Records]


def main() -> None:
    """Prints a line for ours and for the peer in each precision."""
    image, masks = draw_photo(MASKS)
    device = torch.device("cuda")
    sam = build_sam_vit("vit_h").eval()
    peer = segment_anything.sam_model_registry["vit_h"]().eval()
    peer.load_state_dict(official_state_dict(sam))
    for model in (sam, peer):
        answer_with(model, masks)
        model.to(device)

    def ours(**options: Any) -> Work:
        generator = SamAutomaticMaskGenerator(sam, **options, **SETTINGS)
        return lambda: generator.generate(image)

    theirs = segment_anything.SamAutomaticMaskGenerator(peer, **SETTINGS)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'':32} {'s':>8} {'GiB':>6} {'masks':>6}  smallest IoU with the peer's")
    expected = theirs.generate(image)
    show("segment-anything, fp32", under(False, theirs.generate, image), expected)
    show("segment-anything, bf16", under(True, theirs.generate, image), expected)
    show("ours, fp32", ours(), expected)
    show("ours, bf16", ours(bf16=True), expected)
    seconds = show("ours, bf16, compiled", ours(bf16=True, compiled=True), expected)
    print(f"target {TARGET_S} s: {'met' if seconds <= TARGET_S else 'not met'}")


def under(bf16: bool, generate: Callable[[Any], Records], image: Any) -> Work:
    """The peer's work, with or without autocast."""

    def work() -> Records:
        with torch.autocast("cuda", torch.bfloat16) if bf16 else nullcontext():
            return generate(image)

    return work


def show(name: str, work: Work, expected: Records) -> float:
    """Prints a line, and returns the median of the seconds."""
    found = work()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    gib = torch.cuda.max_memory_allocated() / 2**30
    same = smallest_iou(found, expected)
    print(f"{name:32} {median(times):8.3f} {gib:6.1f} {len(found):6}  {same}", flush=True)
    return median(times)


def smallest_iou(found: Records, expected: Records) -> str:
    """The smallest IoU of masks in the same place of two lists, or how their numbers differ."""
    if len(found) != len(expected):
        return f"{len(found)} masks beside {len(expected)}"
    ious = (
        coco_mask.iou([a["segmentation"]], [b["segmentation"]], [0]).item()
        for a, b in zip(found, expected, strict=True)
    )
    return f"{min(ious):.6f}"
