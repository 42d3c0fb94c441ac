"""Automatic masks of a 1500 x 2250 image by ViT-H on one GPU, from the pixels on, 32 x 32 points.

Both networks hold the same random weights and run in full; what clicks are answered with is drawn
(`drawn_answers`). The peer is segment-anything, as it is published and under bf16 autocast, which
its users may add. On a GPU a pixel may differ whose logit is within rounding of a threshold: equal
means as many masks as the peer's in fp32, each with an IoU above 0.999. GiB is the peak of what
torch allocates, the weights of both networks included.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import segment_anything
import torch
from pycocotools import mask as coco_mask

from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from tools.benchmarks.inference.amg import drawn_models

RUNS = 5
TARGET_S = 0.5
SAME_IOU = 0.999
SETTINGS: dict[str, Any] = {"points_per_side": 32, "output_mode": "coco_rle"}

Records = list[dict[str, Any]]
Work = Callable[[], Records]


def main() -> None:
    """Prints a line for the peer and for ours in each precision; exits with 1 if masks differ."""
    sam, peer, image = drawn_models("vit_h")
    for model in (sam, peer):
        model.to("cuda")

    def ours(**options: Any) -> Work:
        generator = SamAutomaticMaskGenerator(sam, **SETTINGS, **options)
        return lambda: generator.generate(image)

    theirs = segment_anything.SamAutomaticMaskGenerator(peer, **SETTINGS)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}")
    print(f"{'':32} {'s':>8} {'GiB':>6} {'equal':>6}")
    expected = theirs.generate(image)
    rows = [
        row("segment-anything, fp32", lambda: theirs.generate(image), expected),
        row("segment-anything, bf16", in_bf16(lambda: theirs.generate(image)), expected),
        row("ours, fp32", ours(), expected),
        row("ours, bf16", ours(bf16=True), expected),
        row("ours, bf16, compiled", ours(bf16=True, compiled=True), expected),
    ]
    verdict = "met" if rows[-1]["seconds"] <= TARGET_S else "not met"
    print(f"target {TARGET_S} s: {verdict}\n{json.dumps(rows)}")
    if not all(row["equal"] for row in rows):
        sys.exit("benchmarks: the masks of ours and of the peer differ, see the table.")


def in_bf16(work: Work) -> Work:
    """The same work under autocast."""

    def work_in_bf16() -> Records:
        with torch.autocast("cuda", torch.bfloat16):
            return work()

    return work_in_bf16


def row(name: str, work: Work, expected: Records) -> dict[str, Any]:
    """Compares, then times; prints a line of the table and returns what it says."""
    equal = are_same(work(), expected)
    torch.cuda.reset_peak_memory_stats()
    times = [seconds(work) for _ in range(RUNS)]
    gib = torch.cuda.max_memory_allocated() / 2**30
    print(f"{name:32} {median(times):8.3f} {gib:6.1f} {'yes' if equal else 'NO':>6}", flush=True)
    return {"name": name, "seconds": median(times), "gib": gib, "equal": equal}


def seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def are_same(found: Records, expected: Records) -> bool:
    """Whether two lists have as many masks, the same in the same places save for rounding."""
    pairs = [[a["segmentation"], b["segmentation"]] for a, b in zip(found, expected, strict=False)]
    ious = [coco_mask.iou([a], [b], [0]).item() for a, b in pairs]
    return len(found) == len(expected) and all(iou > SAME_IOU for iou in ious)
