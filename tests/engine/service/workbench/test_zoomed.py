"""Clicks on small objects in view, and masks that are only looked at."""

from typing import Any

import pytest

from data_engine.pool import Pool
from sam_train.data.rle import decode_rle
from sam_train.data.scenes import SceneSet

SIDE = 256


@pytest.fixture
def pool() -> Pool:
    return Pool([SceneSet("scenes", 2, image_size=SIDE)])


def crop_of(person: Any, *view: float) -> list[int]:
    return person.post(f"tasks/{person.key}/crop", crop=list(view)).json()["crop"]


def preview(person: Any, x: float, y: float, **more: Any) -> dict[str, Any]:
    message = {"object": 1, "kind": "point", "coords": [x, y], "label": 1, **more}
    response = person.post(f"tasks/{person.key}/preview", **message)
    assert response.status_code == 200, response.text
    return response.json()


def test_a_click_in_a_crop_answers_within_it_at_the_images_size(ana: Any) -> None:
    ana.claim()
    crop = crop_of(ana, 140, 70, 250, 180)

    (drawn,) = ana.do("point", 200, 100, label=1, crop=crop)["objects"]
    (whole,) = ana.do("point", 200, 100, label=1, object=2)["objects"]

    assert crop == [128, 64, 256, 192]
    masks = [decode_rle(c["segmentation"]) for c in drawn["candidates"]]
    assert all(mask.shape == (SIDE, SIDE) for mask in masks)
    assert max(mask.sum() for mask in masks) > 0
    assert not any(mask[:, :128].any() or mask[:64].any() or mask[192:].any() for mask in masks)
    assert drawn["mask"] != whole["mask"]


def test_a_restarted_server_answers_the_next_click_in_a_crop_alike(start: Any) -> None:
    answers = []
    for object in (1, 2):
        ana = start()("ana")
        ana.claim()
        ana.do("point", 200, 100, label=1, crop=[128, 64, 256, 192], object=object)
        if object == 2:
            ana = start()("ana")
            ana.claim()
        answers.append(
            ana.do("point", 190, 90, label=0, crop=[128, 64, 256, 192], object=object)["objects"][0]
        )

    assert answers[0]["candidates"] == answers[1]["candidates"]


def test_a_click_on_the_whole_image_follows_one_in_a_crop(ana: Any) -> None:
    ana.claim()
    ana.do("point", 200, 100, label=1, crop=[128, 64, 256, 192])

    (drawn,) = ana.do("point", 20, 20, label=0)["objects"]

    assert len(drawn["prompts"]) == 2


def test_a_preview_is_what_the_click_will_give_and_changes_nothing(ana: Any) -> None:
    ana.claim()
    seen = preview(ana, 60, 60)
    assert ana.claim()["seq"] == 0
    first = ana.do("point", 60, 60, label=1)["objects"][0]
    seen_next = preview(ana, 90, 90, label=0)
    second = ana.do("point", 90, 90, label=0)["objects"][0]

    assert seen["mask"] == first["mask"]
    assert seen["predicted_iou"] == first["predicted_iou"]
    assert seen_next["mask"] == second["mask"]


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "point", "coords": [5, 5], "label": 1, "crop": [0, 0, 100, 100]},
        {"kind": "point", "coords": [5, 5], "label": 1, "crop": [128, 64, 256, 192]},
        {"kind": "point", "coords": [5, 5], "label": 1, "crop": [0, 0, 1e300, 10]},
        {"kind": "brush", "coords": [5, 5], "label": 1, "radius": 1, "crop": [0, 0, 128, 128]},
    ],
)
def test_a_crop_that_the_server_did_not_answer_is_refused(ana: Any, bad: dict[str, Any]) -> None:
    ana.claim()
    message = {"seq": 0, "object": 1, "seconds": 1.0} | bad

    assert ana.post(f"tasks/{ana.key}/actions", **message).status_code == 422
    assert ana.claim()["seq"] == 0


@pytest.mark.parametrize("view", [[9, 9, 9, 9], [-1, 0, 5, 5], [0, 0, 999, 5], [0, 0, 5]])
def test_a_view_outside_of_the_image_is_refused(ana: Any, view: list[float]) -> None:
    ana.claim()

    assert ana.post(f"tasks/{ana.key}/crop", crop=view).status_code == 422


def test_a_brush_has_no_preview(ana: Any) -> None:
    ana.claim()
    message = {"object": 1, "kind": "brush", "coords": [5, 5], "label": 1, "radius": 1}

    assert ana.post(f"tasks/{ana.key}/preview", **message).status_code == 422


def test_a_crop_is_encoded_once_for_all(start: Any, tmp_path: Any) -> None:
    for _ in range(2):
        ana = start()("ana")
        ana.claim()
        assert crop_of(ana, 140, 70, 250, 180) == crop_of(ana, 130, 65, 240, 190)

    names = [path.name for path in (tmp_path / "embeddings").iterdir()]
    assert sum("-128-64-256-192" in name for name in names) == 1
