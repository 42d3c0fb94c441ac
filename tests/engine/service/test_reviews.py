"""Prefilled masks, and work that a second person looks at."""

from typing import Any

import numpy as np
import pytest

from data_engine.annotation.provenance import Stamp
from data_engine.people.follow_up import Reviewing
from data_engine.people.tasks.queue import Terms
from data_engine.service.workbench.embeddings import PreparedImage
from data_engine.service.workbench.workbench import Rules
from sam_train.data.records import Annotation, annotation_from_rle
from sam_train.data.rle import decode_rle, encode_mask, rle_area

BY_DETECTOR = Stamp("semi_automatic", 3, "model", "config").provenance("detector", [], seconds=0.0)


def square(x: int, y: int, side: int = 10) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[y : y + side, x : x + side] = True
    return mask


def two_squares(image: PreparedImage) -> list[Annotation]:
    return [
        annotation_from_rle(encode_mask(square(x, 5)), id=id, provenance=BY_DETECTOR)
        for id, x in ((4, 5), (7, 40))
    ]


@pytest.fixture
def rules() -> Rules:
    stamp = Stamp("semi_automatic", 3, "model", "config")
    return Rules(stamp, Terms(lease_s=60.0), Reviewing(1.0), duplicate_iou=0.7)


@pytest.fixture
def prefill() -> Any:
    return two_squares


def brush(person: Any, x: float, y: float, *, object: int, label: int = 1) -> dict[str, Any]:
    return person.do("brush", x, y, label=label, radius=2, object=object)


def drawn_by_ana(ana: Any) -> str:
    """Rejects one of two prefilled masks and draws a new one."""
    key = ana.claim()["key"]
    ana.do("reject", object=4)
    brush(ana, 30, 50, object=8)
    assert ana.save().status_code == 200
    return key


def test_prefilled_masks_are_shown_locked(ana: Any) -> None:
    task = ana.claim()

    assert (task["kind"], task["phase"]) == ("annotate", "semi_automatic")
    assert [(item["id"], item["locked"]) for item in task["objects"]] == [(4, True), (7, True)]
    assert np.array_equal(decode_rle(task["objects"][0]["mask"]), square(5, 5))
    assert "0.70" in task["rule"]


def test_a_locked_mask_is_rejected_and_taken_back_but_never_changed(ana: Any) -> None:
    ana.claim()

    rejected = ana.do("reject", object=4)["objects"][0]["verdict"]
    back = ana.do("undo", object=4)["objects"][0]["verdict"]
    response = ana.try_to("brush", 5, 5, label=1, radius=2, object=4)

    assert (rejected, back) == ("reject", None)
    assert response.status_code == 422
    assert "locked" in response.json()["error"]


def test_a_mask_that_covers_one_that_is_there_says_so(ana: Any) -> None:
    ana.claim()

    rows = [value for y in range(6, 15) for value in (5, y, 14, y)]
    (near,) = ana.do("brush", *rows, label=1, radius=0.5, object=8)["objects"]
    (apart,) = brush(ana, 30, 50, object=9)["objects"]

    assert (near["duplicate_of"], apart["duplicate_of"]) == (4, None)


def test_a_semi_automatic_version_holds_what_was_kept_and_added(
    ana: Any, ben: Any, collected: Any
) -> None:
    key = drawn_by_ana(ana)
    ben.claim()
    ben.do("accept", object=0)
    ben.save()

    (sample,) = collected()

    made = sample.record["annotations"]
    assert sample.key == key
    assert [(a["id"], a["provenance"]["annotator"]) for a in made] == [(7, "detector"), (8, "ana")]
    assert [a["provenance"]["review"] for a in made] == [
        {"state": "accepted", "reviewer": "ben", "iou": 1.0}
    ] * 2


def test_nobody_reviews_their_own_work(ana: Any, ben: Any) -> None:
    key = drawn_by_ana(ana)

    assert ana.claim()["kind"] == "annotate"
    review = ben.claim()
    assert review["kind"] == "review"
    assert review["key"] == f"{key}~2"
    assert [item["id"] for item in review["objects"]] == [7, 8]
    assert not any(item["locked"] for item in review["objects"])


def test_a_review_without_all_verdicts_is_not_saved(ana: Any, ben: Any) -> None:
    drawn_by_ana(ana)
    ben.claim()
    ben.do("accept", object=7)

    response = ben.save()

    assert response.status_code == 422
    assert "object 8 has no verdict" in response.json()["error"]


def test_a_correction_keeps_the_overlap_with_what_was_there(
    ana: Any, ben: Any, collected: Any
) -> None:
    drawn_by_ana(ana)
    before = rle_area(ben.claim()["objects"][0]["mask"])
    (corrected,) = ben.do("brush", 49, 5, 49, 14, label=0, radius=0.5, object=7)["objects"]
    ben.do("accept", object=8)
    ben.save()

    (sample,) = collected()

    first = sample.record["annotations"][0]
    assert corrected["verdict"] == "correct"
    assert (before, rle_area(first["segmentation"])) == (100, 90)
    assert first["provenance"]["review"] == {"state": "corrected", "reviewer": "ben", "iou": 0.9}
    assert first["provenance"]["prompts"][-1]["type"] == "brush"


def test_rejected_work_goes_back_to_the_queue_and_to_its_maker_last(
    ana: Any, ben: Any, collected: Any
) -> None:
    key = drawn_by_ana(ana)
    ben.claim()
    ben.do("accept", object=7)
    ben.do("reject", object=8)
    ben.save()

    assert collected() == []
    assert ana.claim()["key"] != key
    task = ben.claim()
    assert (task["key"], task["kind"]) == (f"{key}~3", "annotate")
    assert [item["id"] for item in task["objects"]] == [7]


def test_a_click_on_a_mask_to_correct_starts_from_it(ana: Any, ben: Any) -> None:
    drawn_by_ana(ana)
    ben.claim()

    (changed,) = ben.do("point", 45, 10, label=1, object=7)["objects"]

    assert len(changed["candidates"]) == 1
    assert changed["verdict"] == "correct"
