import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sam_train.data.rle import encode_mask
from sam_train.data.scenes import SceneSet
from sam_train.data.sets.labeled_image import LabeledImage
from sam_train.evaluation import run
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.models.baselines import ShapeSegmenter
from sam_train.evaluation.protocols.clicks import ClickProtocol
from sam_train.evaluation.protocols.noc import NocProtocol
from sam_train.evaluation.rows import read_rows, write_rows
from sam_train.evaluation.run import Task, bad_log, merge, plan, run_unit, run_units

PROTOCOL = ClickProtocol(clicks=(1, 2), noisy_box=False, boundary=False)


def scene_tasks() -> list[Task]:
    scenes = SceneSet("scenes", 3, image_size=64)
    return [Task(PROTOCOL, scenes), Task(NocProtocol(max_clicks=2), scenes)]


@pytest.fixture(autouse=True)
def one_image_in_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)


def all_rows(folder: Path, order: slice = slice(None)) -> dict[str, list[Row]]:
    tasks = scene_tasks()
    units = plan(tasks, folder, model={"is": "toy"})
    run_units(ShapeSegmenter, tasks, units[order], folder)
    return merge(tasks, units)


def test_the_order_of_the_units_does_not_matter(tmp_path):
    forwards, backwards = tmp_path / "a", tmp_path / "b"

    assert all_rows(forwards) == all_rows(backwards, slice(None, None, -1))


def test_what_is_done_is_not_done_again(tmp_path):
    expected = all_rows(tmp_path / "whole")
    tasks = scene_tasks()
    units = plan(tasks, tmp_path / "killed", model={"is": "toy"})
    for unit in units[::2]:
        run_unit(ShapeSegmenter(), tasks, unit, tmp_path / "killed")
    units[0].path.with_name("000001.parquet.partial").write_bytes(b"half a file")
    written = {unit.path: unit.path.stat().st_mtime_ns for unit in units[::2]}

    assert all_rows(tmp_path / "killed") == expected
    assert {path: path.stat().st_mtime_ns for path in written} == written


@pytest.mark.slow
def test_two_processes_make_the_table_of_one(tmp_path):
    tasks = scene_tasks()
    units = plan(tasks, tmp_path / "two", model={"is": "toy"})
    run_units(partial(ShapeSegmenter, 0.09), tasks, units, tmp_path / "two", workers=2)

    assert merge(tasks, units) == all_rows(tmp_path / "one")


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path):
    script = (
        "import multiprocessing, time\n"
        "from sam_train.evaluation.run import _end_with_parent\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    worker = context.Process(target=_end_with_parent)\n"
        "    worker.start()\n"
        "    print(worker.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "start.py").write_text(script)
    parent = subprocess.Popen([sys.executable, tmp_path / "start.py"], stdout=subprocess.PIPE)
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    for _ in range(100):
        if not Path(f"/proc/{worker}").exists():
            return
        time.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    pytest.fail("the worker outlived its parent")


def test_another_model_or_another_setting_has_rows_of_its_own(tmp_path):
    scenes = SceneSet("scenes", 1, image_size=64)
    paths = {
        plan([Task(protocol, scenes)], tmp_path, model={"sha": sha})[0].path
        for protocol in (PROTOCOL, ClickProtocol(clicks=(1,)))
        for sha in "ab"
    }

    assert len(paths) == 4


class OneIsTorn:
    """Two blank images; one cannot be read, the other has a mask of another size."""

    name = "torn"

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[LabeledImage]:
        mask = encode_mask(np.ones((32, 32), bool))
        small = encode_mask(np.ones((16, 16), bool))
        blank = np.zeros((32, 32, 3), np.uint8)
        yield LabeledImage("good", lambda: blank, lambda: [mask])
        yield LabeledImage("small", lambda: blank, lambda: [small])
        yield LabeledImage("torn", torn, lambda: [mask])


def torn() -> np.ndarray:
    raise OSError("torn.jpg is no image")


def test_images_that_cannot_be_used_are_counted_and_left_out(tmp_path):
    tasks = [Task(PROTOCOL, OneIsTorn())]
    units = plan(tasks, tmp_path, model={})
    run_units(ShapeSegmenter, tasks, units, tmp_path)

    assert [row["key"] for row in merge(tasks, units)["clicks"]] == ["good"]
    assert bad_log(tmp_path).counts() == {"UnusableMask": 1, "OSError": 1}


def test_a_mask_that_was_evaluated_twice_is_refused(tmp_path):
    row = {"set": "s", "key": "k", "mask_id": 1, "iou": 0.5}
    write_rows(tmp_path / "a.parquet", [row])
    write_rows(tmp_path / "b.parquet", [row])

    with pytest.raises(ValueError, match="mask 1 of k in s was evaluated twice"):
        read_rows([tmp_path / "a.parquet", tmp_path / "b.parquet"])


def test_a_damaged_file_of_rows_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no rows")

    with pytest.raises(ValueError, match=r"a\.parquet is no file of rows"):
        read_rows([tmp_path / "a.parquet"])


def test_rows_come_back_to_the_last_digit(tmp_path):
    rows = [
        {"set": "s", "key": "k", "mask_id": n, "x": 1 / (n + 3), "l": [0.1] * n} for n in (0, 1)
    ]
    write_rows(tmp_path / "a.parquet", rows)

    assert read_rows([tmp_path / "a.parquet"]) == rows
