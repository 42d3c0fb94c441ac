import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_train.data.rle import decode_rle, encode_mask, rle_area
from sam_train.evaluation.measures.average_precision import ScoredMatches, average_precision
from sam_train.evaluation.measures.coco_matching import match, recalls

ONE = np.array([0.5])


def none(count: int) -> np.ndarray:
    return np.zeros(count, bool)


def test_the_best_score_takes_first_and_a_taken_object_is_gone():
    ious = np.array([[0.6, 0.7], [0.55, 0.9]])

    assert match(ious, none(2), none(2), ONE).tolist() == [[1, 0]]


def test_the_threshold_itself_is_reached():
    assert match(np.array([[0.5]]), none(1), none(1), ONE).tolist() == [[0]]


def test_ignored_objects_are_taken_last_and_crowds_many_times():
    ious = np.array([[0.6, 0.9], [0.6, 0.9], [0.1, 0.9]])
    ignored = np.array([False, True])

    assert match(ious, ignored, ignored, ONE).tolist() == [[0, 1, 1]]
    assert match(ious, ignored, none(2), ONE).tolist() == [[0, 1, -1]]


def test_recall_is_the_share_of_thresholds():
    # .72 reaches .50, .55, .60, .65 and .70.
    assert recalls(np.array([[0.72, 0.0], [0.1, 1.0]])).tolist() == [0.5, 1.0]
    assert recalls(np.zeros((0, 2))).tolist() == [0, 0]


def scored(scores: list[float], matched: list[bool], objects: int) -> ScoredMatches:
    return ScoredMatches(
        np.array(scores), np.array([matched], bool), np.zeros((1, len(scores)), bool), objects
    )


def test_ap_of_right_wrong_right():
    # Precision 1 up to recall 1/2 (51 points of 101), 2/3 up to 1 (50 points).
    found = average_precision([scored([0.9, 0.7], [True, True], 2), scored([0.8], [False], 0)])

    assert found == pytest.approx([(51 * 1 + 50 * 2 / 3) / 101])


def test_ap_of_what_cannot_be_found_is_no_number():
    assert average_precision([scored([0.9], [False], 0)]) is None
    assert average_precision([scored([], [], 3)]).tolist() == [0]


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


def of_pycocotools(document: dict, results: list[dict]) -> np.ndarray:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = document
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[:6]


@pytest.mark.parametrize("seed", range(4))
def test_ap_equals_pycocotools(seed: int):
    from sam_train.evaluation.protocols.boxes import BoxProtocol, category_rows
    from sam_train.evaluation.sets.annotated_image import Detection, Instance

    document, results = random_sets(seed)
    expected = of_pycocotools(document, results)
    rows = []
    for image in document["images"]:
        for category in (1, 2):
            objects = [
                Instance(category, a["segmentation"], a["area"], bool(a["iscrowd"]))
                for a in document["annotations"]
                if (a["image_id"], a["category_id"]) == (image["id"], category)
            ]
            found = sorted(
                (
                    (Detection(category, (0.0, 0.0, 1.0, 1.0), r["score"]), r["segmentation"])
                    for r in results
                    if (r["image_id"], r["category_id"]) == (image["id"], category)
                ),
                key=lambda pair: -pair[0].score,
            )  # fmt: skip
            rows += category_rows(str(image["id"]), category, objects, found, exhaustive=True)

    ours = BoxProtocol().summarise(rows)

    names = ("ap", "ap_50", "ap_75", "ap_small", "ap_medium", "ap_large")
    assert [ours.get(name, -1) for name in names] == pytest.approx(expected.tolist(), abs=1e-12)
