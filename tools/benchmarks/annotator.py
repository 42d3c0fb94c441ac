"""The annotation page in Chromium: from a click to its mask, to the next image, and frame times.

Server and browser share the machine, as on a laptop. The page measures: a click from the pointer's
event until the frame with its mask is painted, an image from the key that saves the one before. A
frame is the interval between two of the browser while many masks are dragged or zoomed. Images
are drawn, embeddings cached, the weights random. Nothing of a peer is run beside it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import torch

from sam_train.data.images import encode_jpeg
from sam_train.data.scenes import draw_scene
from sam_train.inference.export import export_model
from sam_train.modeling.build import sam_model_registry
from sam_train.modeling.checkpoint import load_model, save_model

SMALL = (768, 1024)
WIDTH, HEIGHT = 1280, 720  # of the screen
MASKS = {SMALL: 1000, (3000, 4500): 100}  # on an image of (H, W)
CLICKS, IMAGES, FRAMES = 60, 5, 90
ENCODED_MS = {"tiny": 2000}  # after so long the next image is prepared
TARGETS_MS = {"click": (100, 200), "next image": (300, None), "pan": (34, 50), "zoom": (34, 50)}


def main(model: str = "tiny") -> None:
    """Prints for each measurement the median and the 95th percentile beside the targets.

    Targets are for `tiny`. Of larger models only clicks and the next image are measured, with torch
    and with ONNX Runtime: the rest is the browser's alone.
    """
    print(f"{model}, a screen of {WIDTH} x {HEIGHT}")
    print(f"{'':36} {'n':>4} {'median':>8} {'p95':>8} ms  targets")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, has_targets = random_weights(model, Path(folder)), model == "tiny"
        runtimes = {"": checkpoint}
        if not has_targets:
            runtimes = {"torch, ": checkpoint, "ONNX Runtime, ": exported(checkpoint)}
        for size, masks in MASKS.items() if has_targets else [(SMALL, 0)]:
            photos = Path(folder) / f"photos-{size[1]}"
            draw_photos(photos, size)
            for number, (runtime, weights) in enumerate(runtimes.items()):
                output_dir = Path(folder) / f"people-{size[1]}-{number}"
                with served(weights, photos, output_dir) as link, opened(link) as page:
                    works = clicks_and_images(page, model)
                    if has_targets:
                        works = chain(works, many_masks(page, link, size, masks))
                    for name, times_ms in works:
                        name = f"{name}, {runtime}{size[1]} x {size[0]}"
                        rows.append(row(name, times_ms, has_targets))
    print(json.dumps(rows))


def clicks_and_images(page: Any, model: str) -> Iterator[tuple[str, Sequence[float]]]:
    """The measurements of the model's answers."""
    ahead_ms = ENCODED_MS.get(model, 20_000)
    page.wait_for_timeout(ahead_ms)
    count, images = (CLICKS, IMAGES - 1) if model == "tiny" else (CLICKS // 2, 2)
    yield "click to mask", click(page, count)
    yield "next image", [next_image(page, ahead_ms) for _ in range(images)]


def many_masks(
    page: Any, link: str, size: tuple[int, int], masks: int
) -> Iterator[tuple[str, Sequence[float]]]:
    """The measurements over many masks, on the image that is open."""
    draw_masks(link, size, masks)
    page.reload()
    ready(page)
    yield f"pan, {masks} masks", frames(page, pan)
    yield f"zoom, {masks} masks", frames(page, zoom)
    yield f"click to mask, {masks} masks", click(page, CLICKS // 3)


def row(name: str, times_ms: Sequence[float], has_targets: bool) -> dict[str, Any]:
    """Prints a line of the table and returns what it says."""
    median, p95 = (float(np.percentile(times_ms, q)) for q in (50, 95))
    limits = next(limits for start, limits in TARGETS_MS.items() if name.startswith(start))
    pairs = [(value, limit) for value, limit in zip((median, p95), limits, strict=True) if limit]
    verdict = "met" if all(value < limit for value, limit in pairs) else "not met"
    targets = f"{' and '.join(f'< {limit}' for _, limit in pairs)} {verdict}" if has_targets else ""
    print(f"{name:36} {len(times_ms):4} {median:8.1f} {p95:8.1f}     {targets}", flush=True)
    return {"name": name, "n": len(times_ms), "median_ms": median, "p95_ms": p95}


def random_weights(model: str, folder: Path) -> Path:
    torch.manual_seed(0)
    path = folder / f"{model}.safetensors"
    save_model(sam_model_registry[model](), path, model=model, config={})
    return path


def exported(checkpoint: Path) -> Path:
    """The model for ONNX Runtime, as tools.export makes it."""
    folder = checkpoint.with_name("onnx")
    export_model(load_model(checkpoint), folder, int8=False)
    return folder / "decoder.onnx"


def draw_photos(folder: Path, size: tuple[int, int]) -> None:
    """Scenes as JPEGs; large ones are enlarged."""
    folder.mkdir(parents=True)
    for seed in range(IMAGES):
        image = cv2.resize(draw_scene(seed, SMALL).image, size[::-1])
        (folder / f"photo{seed}.jpg").write_bytes(encode_jpeg(image, quality=90))


@contextmanager
def served(checkpoint: Path, photos: Path, output_dir: Path) -> Iterator[str]:
    """Runs the server as an annotator would and gives the link that it prints."""
    settings = {
        "pool": "folder",
        "pool.path": photos,
        "checkpoint": checkpoint,
        "output_dir": output_dir,
        "port": 0,
    }
    command = [sys.executable, "-m", "data_engine.serve"]
    command += [f"{name}={value}" for name, value in settings.items()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if line.startswith("annotator: "):
                    yield line.removeprefix("annotator: ").strip()
                    return
            sys.exit("benchmarks: the annotation server did not start, see above.")
        finally:
            server.terminate()


@contextmanager
def opened(link: str) -> Iterator[Any]:
    """The page in Chromium."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        sys.exit("benchmarks: there is no chromium; apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.set_default_timeout(120_000)
        page.goto(link)
        ready(page)
        yield page
        browser.close()


def ready(page: Any) -> None:
    page.wait_for_function("() => !document.querySelector('#save').disabled")


def next_measure(page: Any, name: str, act: Callable[[], Any]) -> float:
    """Milliseconds that the page notes under a name when something is done to it."""
    page.evaluate("name => performance.clearMeasures(name)", name)
    act()
    page.wait_for_function("name => performance.getEntriesByName(name).length", arg=name)
    return page.evaluate("name => performance.getEntriesByName(name)[0].duration", name)


def click(page: Any, count: int) -> list[float]:
    """Clicks at random places, three on each object."""
    box, rng = page.locator("#canvas").bounding_box(), np.random.default_rng(0)
    times_ms = []
    for number in range(count):
        if number % 3 == 0:
            page.keyboard.press("n")
        x, y = rng.uniform(0.25, 0.75, 2)
        place = (box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.move(*place, steps=3)
        page.wait_for_timeout(rng.uniform(50, 500))  # a preview may be on its way
        times_ms.append(next_measure(page, "point shown", partial(page.mouse.click, *place)))
    return times_ms


def next_image(page: Any, ahead_ms: float) -> float:
    """Saves the image and waits for the next, which was prepared meanwhile."""
    page.wait_for_timeout(ahead_ms)
    return next_measure(page, "image shown", lambda: page.keyboard.press("s"))


def draw_masks(link: str, size: tuple[int, int], masks: int) -> None:
    """Brushes the objects that are missing, as another tab would; one in twenty is large."""
    address, token = link.split("/#token=")
    rng = np.random.default_rng(0)
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        task = client.post("/api/task", json={}).json()
        for id in range(1, masks + 1):
            x, y = rng.uniform(0, 1, 2) * size[::-1]
            radius = size[1] / (12 if id % 20 == 0 else 90)
            message = {
                "seq": task["seq"],
                "object": id,
                "kind": "brush",
                "seconds": 0.1,
                "coords": [x, y, x + radius, y + radius / 2],
                "label": 1,
                "radius": min(radius, 400),
            }
            answer = client.post(f"/api/tasks/{task['key']}/actions", json=message)
            task["seq"] = answer.raise_for_status().json()["seq"]


def frames(page: Any, move: Callable[[Any, dict[str, float]], None]) -> list[float]:
    """Milliseconds between the frames of the browser while something moves."""
    page.evaluate(
        """() => {
            window.frameTimes = [];
            const note = (now) => {
                frameTimes.push(now);
                window.noting = requestAnimationFrame(note);
            };
            note(performance.now());
        }"""
    )
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    move(page, box)
    times = page.evaluate("() => { cancelAnimationFrame(noting); return frameTimes; }")
    page.keyboard.press("0")
    time.sleep(0.2)
    return list(np.diff(times)[2:])


def pan(page: Any, box: dict[str, float]) -> None:
    """Drags the image around in circles."""
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.down(button="middle")
    for number in range(FRAMES):
        angle = number / 8
        page.mouse.move(middle[0] + 150 * np.cos(angle), middle[1] + 150 * np.sin(angle))
    page.mouse.up(button="middle")


def zoom(page: Any, box: dict[str, float]) -> None:
    """Goes into the image and out again."""
    for number in range(FRAMES):
        page.mouse.wheel(0, -60 if number % 40 < 20 else 60)
