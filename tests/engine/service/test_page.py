"""The page in a real browser, on a real server."""

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import uvicorn

from data_engine.pool import Pool
from sam_train.data.rle import decode_rle
from sam_train.data.scenes import SceneSet

pytestmark = pytest.mark.browser

SIDE = 256  # pixels of the image


class Server:
    """A server that can be killed and started again at the same address."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build
        self.port = 0
        self.start()

    def start(self) -> None:
        app, tokens = self.build()
        sock = socket.create_server(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self.link = f"http://127.0.0.1:{self.port}/#token={tokens.token_of('ana')}"
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, args=([sock],))
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()


class Screen:
    """The page under a person's hands, and all masks that the server sent to it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.masks: dict[int, Any] = {}
        page.on("response", self._note)

    def _note(self, response: Any) -> None:
        if response.url.endswith(("/task", "/actions")) and response.ok:
            for item in json.loads(response.body()).get("objects", []):
                self.masks[item["id"]] = item["mask"]

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A pixel of the image on the screen, where it fits into the canvas."""
        box = self.page.locator("#canvas").bounding_box()
        scale = 0.96 * min(box["width"], box["height"]) / SIDE
        left = box["x"] + (box["width"] - SIDE * scale) / 2
        top = box["y"] + (box["height"] - SIDE * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def click(self, x: float, y: float, button: str = "left") -> None:
        with self.stored():
            self.page.mouse.click(*self.place(x, y), button=button)

    def drag(self, *places: tuple[float, float]) -> None:
        self.page.mouse.move(*self.place(*places[0]))
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*self.place(*place), steps=4)
        with self.stored():
            self.page.mouse.up()

    def stored(self) -> Any:
        return self.page.expect_response("**/actions")

    def objects(self, count: int) -> None:
        self.page.wait_for_function(
            "count => document.querySelector('#count').textContent === String(count)", arg=count
        )


@pytest.fixture
def pool() -> Pool:
    return Pool([SceneSet("scenes", 2, image_size=SIDE)])


@pytest.fixture
def server(build: Callable[[], Any]) -> Iterator[Server]:
    server = Server(build)
    yield server
    server.stop()


@pytest.fixture
def screen(server: Server) -> Iterator[Screen]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.set_default_timeout(60_000)  # milliseconds; a busy machine takes long to start
        screen = Screen(page)
        page.goto(server.link)
        page.wait_for_function("() => !document.querySelector('#save').disabled")
        yield screen
        browser.close()


def painted_by_the_page(screen: Screen, rle: Any) -> np.ndarray:
    """The mask as the page's own script decodes it."""
    found = screen.page.evaluate(
        """async (rle) => {
            const { bitmapOf } = await import("/static/rle.js");
            const { x, y, width, height, bits } = bitmapOf(rle);
            return { x, y, width, height, bits: [...bits] };
        }""",
        rle,
    )
    mask = np.zeros(rle["size"], bool)
    window = np.array(found["bits"], bool).reshape(found["height"], found["width"])
    x, y = found["x"], found["y"]
    mask[y : y + found["height"], x : x + found["width"]] = window
    return mask


def test_three_objects_by_clicks_box_and_brush_are_in_the_shard_to_the_pixel(
    screen: Screen, server: Server, collected: Callable[[], list[Any]]
) -> None:
    screen.click(80, 80)
    screen.click(200, 200, button="right")
    screen.objects(1)
    screen.press("n")
    screen.press("b")
    screen.drag((100, 100), (180, 170))
    screen.objects(2)
    with screen.stored():
        screen.press("2")
    screen.press("n")
    screen.press("r")
    screen.drag((30, 200), (90, 200), (90, 230))
    screen.press("e")
    screen.drag((60, 190), (60, 210))
    screen.drag((20, 220), (100, 220))
    with screen.stored():
        screen.press("z")
    before = dict(screen.masks)

    screen.page.reload()
    screen.objects(3)
    assert screen.masks == before
    with screen.page.expect_response("**/saved"):
        screen.press("s")
    screen.page.wait_for_function(
        "() => document.querySelector('#progress').textContent.startsWith('1 of 2')"
    )

    (sample,) = collected()
    shards = [decode_rle(a["segmentation"]) for a in sample.record["annotations"]]
    shown = [painted_by_the_page(screen, before[id]) for id in (1, 2, 3)]
    assert np.array_equal(shards, shown)
    kinds = [[p["type"] for p in a["provenance"]["prompts"]] for a in sample.record["annotations"]]
    assert kinds == [["point", "point"], ["box"], ["brush", "brush"]]


def test_the_page_says_that_the_server_is_gone_and_goes_on_when_it_is_back(
    screen: Screen, server: Server
) -> None:
    screen.press("r")
    screen.drag((30, 30), (60, 30))
    server.stop()
    screen.page.mouse.move(*screen.place(100, 100))
    screen.page.mouse.down()
    screen.page.mouse.up()

    screen.page.wait_for_selector("#banner:not([hidden])")
    assert "connection is lost" in screen.page.text_content("#banner")
    with screen.stored():
        server.start()

    screen.page.wait_for_selector("#banner", state="hidden")
    mask = decode_rle(screen.masks[1])
    assert mask[30, 45]
    assert mask[100, 100]


def test_the_keyboard_alone_is_enough(screen: Screen) -> None:
    screen.page.locator("#canvas").focus()
    screen.press("b")
    screen.press("ArrowLeft")
    screen.page.keyboard.down("Enter")
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown"):
        screen.press(key)
    with screen.stored():
        screen.page.keyboard.up("Enter")
    screen.objects(1)

    with screen.stored():
        screen.press("x")

    screen.objects(0)
