"""Kills the dataset commands at random moments; what is finished stays, the rest is done again.

SAM_TRAIN_KILLS=20 .venv/bin/python -m pytest -m slow tests/tools/test_kill.py
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard

KILLS = int(os.environ.get("SAM_TRAIN_KILLS", "2"))
RLE = {"size": [2, 2], "counts": "04"}

pytestmark = pytest.mark.slow


def dataset(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tools.dataset", *map(str, arguments), "--workers", "2"]


def seconds(command: list[str]) -> float:
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - start


def kill_at_random(command: list[str], longest: float, rng: random.Random) -> bool:
    """Starts the command and kills it; whether it was still at work. Its workers end with it."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(rng.uniform(0.0, longest))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


def content(root: Path) -> dict[str, list[tuple[str, bytes, int]]]:
    """All samples of the latest version, by shard; raises unless every byte is right."""
    data = Dataset(root)
    manifest = data.read()
    data.verify(manifest, hashes=True)
    return {
        entry.images: [
            (s.key, s.image_bytes, len(s.record["annotations"])) for s in data.samples(entry)
        ]
        for entry in manifest.shards
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """Twelve tars of 150 images with 20 masks: commands take about a second."""
    folder = tmp_path_factory.mktemp("published")
    masks = [annotation_from_rle(RLE, id=id) for id in range(20)]
    image = {"image_id": 1, "width": 2, "height": 2, "file_name": "a.jpg"}
    for tar in range(12):
        samples = (
            Sample(f"sa_{tar}_{n}", bytes(2000), {"image": image, "annotations": masks})
            for n in range(150)
        )
        write_shard(folder / f"sa_{tar:06d}.tar", samples)
    for index in folder.glob("*.npz"):
        index.unlink()
    return folder


@pytest.mark.parametrize("command", ["create", "index", "compact"])
def test_a_killed_command_leaves_whole_files_and_finishes_when_given_again(
    tmp_path, published, command
):
    reference = tmp_path / "reference"
    longest = seconds(dataset("create", reference, published))
    expected, rng = content(reference), random.Random(command)
    kills = 0
    for attempt in range(5 * KILLS):
        root = reference if command == "index" else tmp_path / str(attempt)
        if command == "index":
            for index in (root / "images").glob("*.npz"):
                index.unlink()
        arguments = {
            "create": dataset("create", root, published),
            "index": dataset("index", root),
            "compact": dataset("compact", reference, root),
        }[command]
        kills += kill_at_random(arguments, longest, rng)
        if Dataset(root).versions():  # whatever is committed is whole
            assert content(root) == expected
        subprocess.run(arguments, check=True, capture_output=True)
        assert content(root) == expected
        assert list(root.rglob("*.partial")) == []
        if kills == KILLS:
            break
    assert kills == KILLS


def test_a_killed_writer_leaves_no_shard_and_a_later_one_overwrites_its_remains(tmp_path):
    script = f"""
from pathlib import Path
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.store.shards import write_shard
image = {{"image_id": 1, "width": 2, "height": 2, "file_name": "a.jpg"}}
masks = [annotation_from_rle({RLE}, id=id) for id in range(20)]
record = {{"image": image, "annotations": masks}}
for tar in range(8):
    path = Path({str(tmp_path)!r}) / f"sa_{{tar:06d}}.tar"
    if not path.exists():
        write_shard(path, (Sample(f"sa_{{n}}", bytes(2000), record) for n in range(150)))
"""
    command, rng = [sys.executable, "-c", script], random.Random("write")
    longest, expected = seconds(command), {p.name: p.read_bytes() for p in tmp_path.glob("*.tar")}
    for _ in range(KILLS):
        for path in tmp_path.iterdir():
            path.unlink()
        kill_at_random(command, longest, rng)
        for path in tmp_path.glob("*.tar"):  # whatever has its name is whole
            assert path.read_bytes() == expected[path.name]
        subprocess.run(command, check=True)
        assert {p.name: p.read_bytes() for p in tmp_path.glob("*.tar")} == expected
        assert list(tmp_path.glob("*.partial")) == []
