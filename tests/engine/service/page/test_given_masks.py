"""Masks that are there already: prefilled ones, those of a review, and very many."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from data_engine.annotation.provenance import Stamp
from data_engine.people.follow_up import Reviewing
from data_engine.people.tasks.queue import Terms
from data_engine.service.workbench.workbench import Rules
from sam_train.data.records import Annotation, annotation_from_rle
from sam_train.data.rle import decode_rle, encode_window

pytestmark = pytest.mark.browser

BY_DETECTOR = Stamp("semi_automatic", 3, "model", "config").provenance("detector", [], seconds=0.0)
MANY = 1000


def squares(size: tuple[int, int], count: int, side: int) -> list[Annotation]:
    """Masks side by side, as if a detector had found them."""
    in_row = size[1] // (side + 1)
    corners = [(n % in_row * (side + 1), n // in_row * (side + 1)) for n in range(count)]
    rles = [encode_window(np.ones((side, side), bool), corner=c, size=size) for c in corners]
    return [annotation_from_rle(r, id=id, provenance=BY_DETECTOR) for id, r in enumerate(rles, 1)]


@pytest.fixture
def review_share(request: pytest.FixtureRequest) -> float:
    return getattr(request, "param", 0.0)


@pytest.fixture
def rules(review_share: float) -> Rules:
    stamp = Stamp("semi_automatic", 3, "model", "config")
    return Rules(stamp, Terms(lease_s=60.0), Reviewing(review_share), duplicate_iou=0.7)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> int:
    return getattr(request, "param", 3)


@pytest.fixture
def prefill(count: int) -> Any:
    return lambda image: squares(image.size, count, side=60 if count < MANY else 6)


def test_a_wrong_prefilled_mask_is_rejected_and_a_missing_one_added(
    screen: Any, collected: Callable[[], list[Any]]
) -> None:
    assert screen.text("#kind") == "Add what is missing"
    screen.objects(3)
    screen.page.keyboard.down("Shift")
    screen.page.mouse.click(*screen.place(90, 30))
    screen.page.keyboard.up("Shift")
    screen.act("x")
    screen.shows("#objects .current", "rejected")
    screen.press("r")
    screen.drag((30, 200), (90, 200))
    screen.shows("#objects .current", "Object 4")
    screen.save()

    (sample,) = collected()

    masks = [decode_rle(item["segmentation"]) for item in sample.record["annotations"]]
    assert [mask[30, 30] for mask in masks] == [True, False, False]
    assert not any(mask[30, 90] for mask in masks)
    assert masks[2][200, 60]


@pytest.mark.parametrize("review_share", [1.0], indirect=True)
def test_a_review_accepts_corrects_and_rejects_by_keyboard(
    open_page: Callable[[str], Any], collected: Callable[[], list[Any]]
) -> None:
    ana = open_page("ana")
    ana.save()
    ana.page.close()
    ben = open_page("ben")
    while ben.text("#kind") != "Review":  # first come the images that nobody has had
        ben.save()
        ben.ready()

    ben.shows("#objects .current", "Object 1 · to judge")
    ben.act("a")
    ben.shows("#objects .current", "Object 2")
    ben.press("r")
    ben.drag((90, 100), (90, 120))
    ben.shows("#objects .current", "corrected")
    ben.press("s")
    ben.shows("#banner", "1 object has no verdict yet")
    ben.shows("#objects .current", "Object 3")
    ben.act("x")
    ben.shows("#objects .current", "rejected")
    ben.act("z")
    ben.act("a")
    ben.save()

    (sample,) = collected()
    reviewed = sample.record["annotations"]
    states = [item["provenance"]["review"]["state"] for item in reviewed]
    assert states == ["accepted", "corrected", "accepted"]
    assert decode_rle(reviewed[1]["segmentation"])[110, 90]


@pytest.mark.parametrize("count", [MANY], indirect=True)
def test_a_thousand_masks_are_painted_once_however_the_image_is_moved(screen: Any) -> None:
    screen.objects(MANY)
    screen.page.evaluate(
        """async () => {
            const { MaskLayer } = await import("/static/canvas/layer.js");
            const paint = MaskLayer.prototype.paint;
            window.painted = 0;
            MaskLayer.prototype.paint = function (part) { painted++; paint.call(this, part); };
        }"""
    )
    screen.page.mouse.move(*screen.place(100, 100))
    screen.page.mouse.down(button="middle")
    screen.page.mouse.move(*screen.place(140, 120), steps=10)
    screen.page.mouse.up(button="middle")
    for step in (-120, -120, -120, 120):
        screen.page.mouse.wheel(0, step)
    screen.page.evaluate("() => new Promise(requestAnimationFrame)")

    assert screen.page.evaluate("painted") == 0
    screen.press("Tab")
    screen.act("x")
    screen.shows("#objects .current", "rejected")
    assert screen.page.evaluate("painted") > 0
