"""Objects drawn by clicks, boxes and the brush, by mouse and by keyboard."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sam_train.data.rle import decode_rle, encode_mask

pytestmark = pytest.mark.browser


def painted_by_the_page(screen: Any, rle: Any) -> np.ndarray:
    """The mask as the page draws it over an image: its pixels that are not transparent."""
    found = screen.page.evaluate(
        """async (rle) => {
            const { Sprite } = await import("/static/canvas/sprites.js");
            const [height, width] = rle.size;
            const context = new OffscreenCanvas(width, height).getContext("2d");
            new Sprite(rle, { colour: [255, 0, 0], inside: "striped" }).drawOn(context);
            const { data } = context.getImageData(0, 0, width, height);
            return [...data.filter((_, n) => n % 4 === 3)];
        }""",
        rle,
    )
    return np.array(found).reshape(rle["size"]) > 0


def test_three_objects_by_clicks_box_and_brush_are_in_the_shard_to_the_pixel(
    screen: Any, collected: Callable[[], list[Any]]
) -> None:
    screen.click(80, 80)
    screen.click(200, 200, button="right")
    screen.objects(1)
    screen.press("n")
    screen.press("b")
    screen.drag((100, 100), (180, 170))
    screen.objects(2)
    screen.act("2")
    screen.press("n")
    screen.press("r")
    screen.drag((30, 200), (90, 200), (90, 230))
    screen.press("e")
    screen.drag((60, 190), (60, 210))
    screen.drag((20, 220), (100, 220))
    screen.act("z")
    before = dict(screen.masks)

    screen.page.reload()
    screen.objects(3)
    assert screen.masks == before
    screen.save()
    screen.shows("#progress", "1 of 2")

    (sample,) = collected()
    shards = [decode_rle(a["segmentation"]) for a in sample.record["annotations"]]
    shown = [painted_by_the_page(screen, before[id]) for id in (1, 2, 3)]
    assert np.array_equal(shards, shown)
    kinds = [[p["type"] for p in a["provenance"]["prompts"]] for a in sample.record["annotations"]]
    assert kinds == [["point", "point"], ["box"], ["brush", "brush"]]


def test_the_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(
    screen: Any, server: Any
) -> None:
    screen.press("r")
    screen.drag((30, 30), (60, 30))
    server.stop()
    screen.page.mouse.move(*screen.place(100, 100))
    screen.page.mouse.down()
    screen.page.mouse.up()

    screen.page.wait_for_selector("#lost:not([hidden])")
    assert "connection is lost" in screen.text("#lost")
    with screen.stored():
        server.start()

    screen.page.wait_for_selector("#lost", state="hidden")
    mask = decode_rle(screen.masks[1])
    assert mask[30, 45]
    assert mask[100, 100]


def test_the_keyboard_alone_is_enough(screen: Any) -> None:
    screen.page.locator("#canvas").focus()
    screen.press("b")
    screen.press("ArrowLeft")
    screen.page.keyboard.down("Enter")
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown"):
        screen.press(key)
    with screen.stored():
        screen.page.keyboard.up("Enter")
    screen.objects(1)

    screen.act("x")

    screen.objects(0)


def test_the_mask_under_the_cursor_is_shown_and_not_stored(screen: Any) -> None:
    with screen.page.expect_response("**/preview") as answer:
        screen.page.mouse.move(*screen.place(80, 80))
    preview = answer.value.json()["mask"]

    screen.click(80, 80)

    assert preview == screen.masks[1]
    assert screen.page.evaluate("() => performance.getEntriesByName('point shown').length") <= 1
    screen.act("z")
    screen.objects(0)
    assert screen.page.is_disabled("#undo")


def test_what_is_zoomed_in_is_decoded_from_its_own_crop(screen: Any) -> None:
    screen.page.mouse.move(*screen.place(60, 60))
    with screen.page.expect_response("**/crop") as answer:
        screen.page.mouse.wheel(0, -600)
    x0, y0, x1, y1 = answer.value.json()["crop"]
    screen.page.wait_for_selector("#magnifier:not([hidden])")

    with screen.page.expect_request("**/actions") as request:
        screen.click(60, 60)

    assert request.value.post_data_json["crop"] == [x0, y0, x1, y1]
    assert x0 <= 60 <= x1 and y0 <= 60 <= y1


def test_a_mouse_that_moves_on_after_a_stroke_paints_nothing(screen: Any) -> None:
    screen.press("r")
    screen.drag((30, 30), (60, 30))
    before = screen.masks[1]
    screen.page.mouse.move(*screen.place(200, 200), steps=5)
    screen.drag((30, 40), (60, 40))

    changed = decode_rle(screen.masks[1]) & ~decode_rle(before)

    assert changed[40, 45]
    assert not changed[100:].any()


def test_a_mask_that_is_drawn_small_loses_nothing_thin(screen: Any) -> None:
    mask = np.zeros((90, 70), bool)
    mask[3:80, 41] = mask[50, 5:60] = True
    mask[20:60, 10:30] = True

    small = np.array(
        screen.page.evaluate(
            """async (rle) => {
                const { Sprite } = await import("/static/canvas/sprites.js");
                const sprite = new Sprite(rle, { colour: [255, 0, 0] }), picture = sprite.at(4);
                const { width, height } = picture;
                const { data } = picture.getContext("2d").getImageData(0, 0, width, height);
                const alphas = [...data.filter((_, n) => n % 4 === 3)];
                return Array.from({ length: height }, () => alphas.splice(0, width));
            }""",
            encode_mask(mask),
        )
    )

    rows, columns = np.nonzero(mask)
    expected = np.zeros((90, 70), bool)
    expected[rows // 4, columns // 4] = True
    top, left = rows.min() // 4, columns.min() // 4
    turned = expected[top : top + small.shape[1], left : left + small.shape[0]].T
    assert np.array_equal(small > 0, turned)
    assert expected.sum() == turned.sum()  # nothing lies outside
