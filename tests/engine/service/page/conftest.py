"""The page in a real browser, on a real server."""

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn

from data_engine.pool import Pool
from sam_train.data.scenes import SceneSet

SIDE = 256  # pixels of the image


class Server:
    """A server that can be killed and started again at the same address."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build
        self.port = 0
        self.start()

    def start(self) -> None:
        app, self.tokens = self.build()
        sock = socket.create_server(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, args=([sock],))
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    def link(self, annotator: str) -> str:
        return f"http://127.0.0.1:{self.port}/#token={self.tokens.token_of(annotator)}"


class Screen:
    """The page under a person's hands, and all masks that the server sent to it."""

    def __init__(self, page: Any, link: str) -> None:
        self.page = page
        self.masks: dict[int, Any] = {}
        self.errors: list[str] = []
        page.set_default_timeout(60_000)  # milliseconds; a busy machine takes long to start
        page.on("response", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(link)
        self.ready()

    def _note(self, response: Any) -> None:
        if response.url.endswith(("/task", "/actions")) and response.ok:
            for item in json.loads(response.body()).get("objects", []):
                self.masks[item["id"]] = item["mask"]

    def ready(self) -> None:
        self.page.wait_for_function("() => !document.querySelector('#save').disabled")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """A pixel of the image on the screen, where it fits into the canvas."""
        box = self.page.locator("#canvas").bounding_box()
        scale = 0.96 * min(box["width"], box["height"]) / SIDE
        left = box["x"] + (box["width"] - SIDE * scale) / 2
        top = box["y"] + (box["height"] - SIDE * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def act(self, key: str) -> None:
        """Presses a key and waits until what it does is stored."""
        with self.stored():
            self.press(key)

    def save(self) -> None:
        """Saves the image and waits until the next is on its way."""
        with self.page.expect_response("**/api/task"):
            self.press("s")

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
        self.shows("#count", str(count))

    def shows(self, part: str, text: str) -> None:
        """Waits until a part of the page says something."""
        self.page.wait_for_function(
            "([part, text]) => document.querySelector(part).textContent.includes(text)",
            arg=[part, text],
        )

    def text(self, part: str) -> str:
        return self.page.text_content(part)


@pytest.fixture
def pool() -> Pool:
    return Pool([SceneSet("scenes", 2, image_size=SIDE)])


@pytest.fixture
def server(build: Callable[[], Any]) -> Iterator[Server]:
    server = Server(build)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Callable[[str], Screen]]:
    """Opens the page of an annotator; no script of any page may have failed in the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    screens: list[Screen] = []

    def opened(annotator: str) -> Screen:
        screens.append(Screen(context.new_page(), server.link(annotator)))
        return screens[-1]

    yield opened
    errors = [error for screen in screens for error in screen.errors]
    context.close()
    assert not errors


@pytest.fixture
def screen(open_page: Callable[[str], Screen]) -> Screen:
    return open_page("ana")
