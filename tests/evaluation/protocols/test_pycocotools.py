"""AP and AR equal pycocotools', on drawn objects and, where SAM_DATA is set, on real sets."""

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_train.data.rle import decode_rle, encode_mask, rle_area
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.protocols.boxes import BoxProtocol, category_rows, counted_detections
from sam_train.evaluation.protocols.proposals import ProposalProtocol, object_rows
from sam_train.evaluation.sets.annotated_image import (
    AnnotatedImage,
    Detection,
    Instance,
    known_part,
)
from sam_train.evaluation.sets.instances import InstanceSet

AP = ("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large")
AR = ("ar", "ar_small", "ar_medium", "ar_large")
REAL_SETS = {
    "coco_tiny": ("coco_tiny/train2017", "coco_tiny/annotations/instances_train2017.json"),
    "lvis_mini": ("lvis_mini/val2017", "lvis_mini/lvis_val_mini.json"),
}


def random_rles(rng: np.random.Generator, count: int) -> list[dict]:
    rles = []
    for _ in range(count):
        mask = np.zeros((80, 90), bool)
        x, y = rng.integers(0, 60, 2)
        w, h = rng.integers(4, 60, 2)
        mask[y : y + h, x : x + w] = True
        rles.append(encode_mask(mask))
    return rles


def random_sets(seed: int) -> tuple[dict, list[dict]]:
    """Objects of two categories with crowds, and detections that are often near one of them."""
    rng = np.random.default_rng(seed)
    images = [{"id": n, "height": 80, "width": 90} for n in range(6)]
    annotations, detections = [], []
    for image in images:
        for rle in random_rles(rng, int(rng.integers(0, 7))):
            annotations.append({
                "id": len(annotations) + 1, "image_id": image["id"],
                "category_id": int(rng.integers(1, 3)), "iscrowd": int(rng.random() < 0.15),
                "segmentation": rle, "area": float(rle_area(rle)),
                "bbox": [0, 0, 1, 1],
            })  # fmt: skip
            for _ in range(int(rng.integers(0, 3))):
                pixels = np.roll(decode_rle(rle), rng.integers(-4, 5, 2), (0, 1))
                shifted = encode_mask(pixels)
                detections.append((image["id"], annotations[-1]["category_id"], shifted))
        detections += [(image["id"], int(rng.integers(1, 3)), r) for r in random_rles(rng, 3)]
    results = [
        {"image_id": i, "category_id": c, "segmentation": r, "score": float(rng.integers(1, 9)) / 9}
        for i, c, r in detections
    ]
    categories = [{"id": n, "name": str(n)} for n in (1, 2, 3)]
    return {"images": images, "annotations": annotations, "categories": categories}, results


def of_pycocotools(document: dict, results: list[dict], *, categories: bool = True) -> COCOeval:
    """The evaluation of all detections, with or without regard to what they are called."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([dict(r) for r in results]), "segm")
        if not categories:
            evaluation.params.useCats = 0
            evaluation.params.maxDets = [1000]
        evaluation.evaluate()
        evaluation.accumulate()
        if categories:
            evaluation.summarize()
    return evaluation


def average_recall(evaluation: COCOeval) -> list[float]:
    """AR at the last limit of detections: over all areas, then by size."""
    recall = evaluation.eval["recall"][:, 0, :, -1]  # (thresholds, areas)
    return [float(values.mean()) if values.min() > -1 else -1.0 for values in recall.T]


def objects_of(document: dict) -> dict[Any, list[Instance]]:
    """The objects of each drawn image."""
    found: dict[Any, list[Instance]] = {image["id"]: [] for image in document["images"]}
    for a in document["annotations"]:
        instance = Instance(a["category_id"], a["segmentation"], a["area"], bool(a["iscrowd"]))
        found[a["image_id"]].append(instance)
    return found


def rows_of_boxes(objects: dict[Any, list[Instance]], results: list[dict]) -> Iterator[Row]:
    """The rows of the protocol for masks that are given instead of predicted."""
    for image, known in objects.items():
        mine = [r for r in results if r["image_id"] == image]
        masks = {number: r["segmentation"] for number, r in enumerate(mine)}
        detections = [
            # The box only carries the number of the mask.
            Detection(r["category_id"], (float(number), 0.0, 0.0, 0.0), r["score"])
            for number, r in enumerate(mine)
        ]
        labeled = AnnotatedImage(str(image), lambda: None, list)
        counted = counted_detections(detections, known, labeled)
        for category in {d.category for d in counted} | {i.category for i in known}:
            yield from category_rows(
                str(image),
                category,
                [i for i in known if i.category == category],
                [(d, masks[int(d.box[0])]) for d in counted if d.category == category],
                exhaustive=True,
            )


def rows_of_proposals(objects: dict[Any, list[Instance]], results: list[dict]) -> Iterator[Row]:
    """The rows of the protocol for masks that are given instead of proposed."""
    for image, known in objects.items():
        mine = sorted((r for r in results if r["image_id"] == image), key=lambda r: -r["score"])
        rles = [r["segmentation"] for r in mine[:1000]]
        ious = np.zeros((len(rles), len(known)))
        if rles and known:
            crowd = [int(i.crowd) for i in known]
            ious = np.asarray(coco_mask.iou(rles, [i.rle for i in known], crowd))
        yield from object_rows(str(image), known, ious, len(rles))


def assert_equal(objects: dict[Any, list[Instance]], document: dict, results: list[dict]) -> None:
    ap = BoxProtocol().summarise(list(rows_of_boxes(objects, results)))
    ar = ProposalProtocol().summarise(list(rows_of_proposals(objects, results)))

    expected = of_pycocotools(document, results).stats[:6].tolist()
    assert [ap.get(name, -1) for name in AP] == pytest.approx(expected, abs=1e-12)
    expected = average_recall(of_pycocotools(document, results, categories=False))
    assert [ar.get(name, -1) for name in AR] == pytest.approx(expected, abs=1e-12)
    assert 0.05 < ap["ap"] < 0.9 and 0.05 < ar["ar"] < 0.9  # or the detections are too easy


@pytest.mark.parametrize("seed", range(4))
def test_ap_and_ar_equal_pycocotools_on_drawn_objects(seed: int):
    document, results = random_sets(seed)

    assert_equal(objects_of(document), document, results)


@pytest.mark.slow
@pytest.mark.skipif("SAM_DATA" not in os.environ, reason="SAM_DATA names no folder of real sets")
@pytest.mark.parametrize("name", REAL_SETS)
def test_ap_and_ar_equal_pycocotools_on_real_sets(name: str):
    images, annotations = (Path(os.environ["SAM_DATA"]) / path for path in REAL_SETS[name])
    document = json.loads(annotations.read_text())
    found = InstanceSet(name, images, annotations)
    objects = {int(image.key[-12:]): known_part(image, "instances") for image in found}
    there = {**document, "images": [i for i in document["images"] if i["id"] in objects]}
    for annotation in document["annotations"]:
        annotation.setdefault("iscrowd", 0)  # LVIS has no crowds

    assert_equal(dict(sorted(objects.items())), there, list(detections_near(objects)))


def detections_near(objects: dict[Any, list[Instance]]) -> Iterator[dict]:
    """Up to three shifted copies of every object, some under another's name."""
    rng = np.random.default_rng(0)
    for image, known in objects.items():
        for instance in known:
            mask = decode_rle(instance.rle)
            reach = 1 + int(0.1 * np.sqrt(instance.area))
            for _ in range(rng.integers(0, 4)):
                shifted = np.roll(mask, rng.integers(-reach, reach + 1, 2), (0, 1))
                named = rng.choice(known) if rng.random() < 0.2 else instance
                yield {
                    "image_id": image,
                    "category_id": named.category,
                    "segmentation": encode_mask(shifted),
                    "score": float(rng.random()),
                }
