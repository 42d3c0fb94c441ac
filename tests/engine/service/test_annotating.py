"""What a page gets for its actions."""

from collections.abc import Callable
from typing import Any

import numpy as np

from sam_train.data.rle import decode_rle

Pages = Callable[[str], Any]


def mask_of(change: dict[str, Any]) -> np.ndarray:
    return decode_rle(change["objects"][0]["mask"])


def test_the_first_click_gives_three_masks_and_the_second_one(ana: Any) -> None:
    ana.claim()

    first = ana.do("point", 20, 20, label=1)["objects"][0]
    second = ana.do("point", 40, 40, label=0)["objects"][0]

    assert len(first["candidates"]) == 3
    scores = [candidate["predicted_iou"] for candidate in first["candidates"]]
    assert first["chosen"] == int(np.argmax(scores))
    assert first["mask"] == first["candidates"][first["chosen"]]["segmentation"]
    assert len(second["candidates"]) == 1
    assert [prompt["label"] for prompt in second["prompts"]] == [1, 0]


def test_the_candidate_that_was_chosen_is_fed_back(start: Callable[[], Pages]) -> None:
    answers = []
    for chosen in (0, 2):
        ana = start()("ana")
        ana.claim()
        ana.do("point", 20, 20, label=1, object=chosen + 1)
        ana.do("choose", label=chosen, object=chosen + 1)
        answers.append(ana.do("point", 50, 50, label=1, object=chosen + 1)["objects"][0])

    assert answers[0]["candidates"] != answers[1]["candidates"]


def test_a_server_that_was_restarted_answers_the_next_click_alike(
    start: Callable[[], Pages],
) -> None:
    answers = []
    for restarts in (False, True):
        ana = start()("ana")
        ana.claim()
        object = 2 if restarts else 1
        ana.do("point", 20, 20, label=1, object=object)
        ana.do("choose", label=1, object=object)
        if restarts:
            ana = start()("ana")
            ana.claim()
        answers.append(ana.do("point", 50, 50, label=1, object=object)["objects"][0]["mask"])

    assert answers[0] == answers[1]


def test_the_brush_paints_and_erases_exactly_its_pixels(ana: Any) -> None:
    ana.claim()

    painted = mask_of(ana.do("brush", 10, 5, 20, 5, label=1, radius=0.5))
    erased = mask_of(ana.do("brush", 12.9, 5.2, label=0, radius=0.5))

    assert painted.sum() == 11
    assert painted[5, 10:21].all()
    assert np.argwhere(painted & ~erased).tolist() == [[5, 12]]


def test_what_was_brushed_stays_when_the_model_answers_again(ana: Any) -> None:
    ana.claim()
    ana.do("point", 20, 20, label=1)
    ana.do("brush", 0, 0, 8, 0, label=1, radius=0.5)

    mask = mask_of(ana.do("point", 50, 50, label=0))

    assert mask[0, :9].all()


def test_undo_and_redo_go_through_all_objects(ana: Any) -> None:
    ana.claim()
    ana.do("brush", 5, 5, label=1, radius=2)
    ana.do("brush", 40, 40, label=1, radius=2, object=2)

    undone = ana.do("undo", object=2)
    redone = ana.do("redo", object=2)

    gone = undone["objects"][0]
    assert (gone["id"], gone["mask"], gone["prompts"], gone["strokes"]) == (2, None, [], 0)
    assert undone["can_redo"]
    assert mask_of(redone)[40, 40]
    assert not redone["can_redo"]


def test_a_deleted_object_comes_back_by_undo(ana: Any) -> None:
    ana.claim()
    before = mask_of(ana.do("brush", 5, 5, label=1, radius=2))

    gone = ana.do("delete")["objects"][0]["mask"]
    back = mask_of(ana.do("undo"))

    assert gone is None
    assert (back == before).all()


def test_a_reloaded_page_finds_everything(start: Callable[[], Pages]) -> None:
    ana = start()("ana")
    key = ana.claim()["key"]
    drawn = [ana.do("point", 20, 20, label=1), ana.do("brush", 5, 5, label=1, radius=2, object=2)]

    task = start()("ana").claim()

    assert task["key"] == key
    assert [item["mask"] for item in task["objects"]] == [c["objects"][0]["mask"] for c in drawn]
    assert task["current"] == 2
    assert task["can_undo"]


def test_an_action_that_is_sent_again_is_not_done_again(ana: Any) -> None:
    ana.claim()
    ana.do("point", 20, 20, label=1)
    ana.seq = 0

    again = ana.do("point", 20, 20, label=1)

    assert again["seq"] == 1
    assert len(again["objects"][0]["prompts"]) == 1


def test_a_delete_that_is_sent_again_says_what_is_gone(ana: Any) -> None:
    ana.claim()
    ana.do("point", 20, 20, label=1)
    ana.do("brush", 5, 5, label=1, radius=2, object=2)
    ana.do("delete", object=2)
    ana.seq = 2

    first, second = ana.do("delete", object=2)["objects"]

    assert first["mask"]
    assert (second["id"], second["mask"], second["prompts"], second["strokes"]) == (2, None, [], 0)


def test_another_action_in_its_place_is_refused(ana: Any) -> None:
    ana.claim()
    ana.do("point", 20, 20, label=1)
    ana.seq = 0

    response = ana.try_to("point", 30, 30, label=1)

    assert response.status_code == 409
    assert response.json()["kind"] == "out_of_step"
