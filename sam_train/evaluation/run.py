"""The work of an evaluation in units that any number of processes do, once each.

A unit is a few images of one set under one protocol, always the same ones. Its rows go into a
file of their own, and a file that is there is not made again: a run that was killed goes on, and
two processes, or two machines with a common folder, make the table of one.
"""

import hashlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.models.segmenter import Segmenter
from sam_train.evaluation.protocols.protocol import EvaluationProtocol
from sam_train.evaluation.rows import read_rows, write_rows
from sam_train.evaluation.sets.sampling import (
    ChosenImage,
    Sampling,
    choose_images,
    read_chosen,
)
from sam_train.interrupts import ctrl_c_left_to_this_process
from sam_train.run_progress import ProgressFile

IMAGES_PER_UNIT = 4


@dataclass(frozen=True)
class Task:
    """One set under one protocol."""

    protocol: EvaluationProtocol
    image_set: ImageSet
    sampling: Sampling = field(default_factory=Sampling)

    @property
    def name(self) -> str:
        return f"{self.protocol.name}/{self.image_set.name}"

    @cached_property
    def images(self) -> list[LabeledImage]:
        return list(self.image_set)


@dataclass(frozen=True)
class Unit:
    """Some images of a task, and the file for their rows."""

    task: int
    path: Path
    images: tuple[ChosenImage, ...]


def plan(tasks: Sequence[Task], folder: Path, *, model: Mapping[str, Any]) -> list[Unit]:
    """The units of all tasks. What was evaluated with anything else has files elsewhere.

    `model` says what is evaluated; with it, the protocol and the images it names the files.
    """
    on_bad = bad_log(folder)
    units = []
    for number, task in enumerate(tasks):
        chosen = choose_images(task.image_set, task.sampling, on_bad=on_bad)
        digest = fingerprint(model, asdict(task.protocol), [asdict(image) for image in chosen])  # type: ignore[call-overload]
        place = folder / "rows" / task.protocol.name / f"{task.image_set.name}-{digest}"
        for start in range(0, len(chosen), IMAGES_PER_UNIT):
            images = tuple(chosen[start : start + IMAGES_PER_UNIT])
            units.append(Unit(number, place / f"{start:06d}.parquet", images))
    return units


def fingerprint(*parts: Any) -> str:
    """A short name that is another one when anything in the parts is."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def bad_log(folder: Path) -> BadSampleLog:
    """The list of images and masks that could not be used."""
    return BadSampleLog(folder / "bad_samples.jsonl")


def run_unit(segmenter: Segmenter, tasks: Sequence[Task], unit: Unit, folder: Path) -> None:
    """Evaluates the images of a unit and writes their rows, unless that was done before."""
    if unit.path.exists():
        return
    task, on_bad = tasks[unit.task], bad_log(folder)
    rows: list[Row] = []
    for chosen in unit.images:
        name = task.image_set.name
        evaluated = read_chosen(task.images, chosen, name=name, on_bad=on_bad)
        if evaluated is not None:
            found = task.protocol.evaluate(segmenter, evaluated)
            rows += [{"set": name, **row} for row in found]
    write_rows(unit.path, rows)


def run_units(
    build_segmenter: Callable[[], Segmenter],
    tasks: Sequence[Task],
    units: Sequence[Unit],
    folder: Path,
    *,
    workers: int = 1,
) -> None:
    """Does the units that are not done, in this process or in `workers` new ones.

    Each process builds its model, with as many threads as this one has; on a machine with several
    GPUs worker n takes the n-th.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: at least one is needed")
    left = [unit for unit in units if not unit.path.exists()]
    show = partial(_show, ProgressFile(folder, unit="units"), len(units), len(left))
    show(0)
    if workers == 1 or len(left) < 2:
        segmenter = build_segmenter() if left else None
        for number, unit in enumerate(left, start=1):
            run_unit(segmenter, tasks, unit, folder)
            show(number)
        return
    import torch

    context = multiprocessing.get_context("spawn")  # a GPU, and threads, do not survive a fork
    numbers = context.Queue()
    for number in range(workers):
        numbers.put(number)
    with ProcessPoolExecutor(
        min(workers, len(left)),
        mp_context=context,
        initializer=_start_worker,
        initargs=(build_segmenter, tasks, folder, numbers, torch.get_num_threads()),
    ) as pool:
        try:
            with ctrl_c_left_to_this_process():
                waiting = [pool.submit(_run_in_worker, unit) for unit in left]
            for number, done in enumerate(as_completed(waiting), start=1):
                done.result()
                show(number)
        except BrokenProcessPool as error:
            raise OSError(
                "a worker process was killed, perhaps for lack of memory: lower `workers` and run "
                "the same command again"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _show(progress: ProgressFile, total: int, left: int, number: int) -> None:
    progress.show(total - left + number, total)


def merge(tasks: Sequence[Task], units: Sequence[Unit]) -> dict[str, list[Row]]:
    """The rows of every protocol, in an order that does not depend on who found them."""
    paths: dict[str, list[Path]] = {}
    for unit in units:
        paths.setdefault(tasks[unit.task].protocol.name, []).append(unit.path)
    return {name: read_rows(found) for name, found in paths.items()}


_worker: tuple[Callable[[], Segmenter], Sequence[Task], Path] | None = None  # of this process


def _start_worker(
    build_segmenter: Callable[[], Segmenter],
    tasks: Sequence[Task],
    folder: Path,
    numbers: Any,
    threads: int,
) -> None:
    import torch

    from sam_train.threads import set_threads

    global _worker
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_threads(threads)
    number = numbers.get()
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())
    # Built with the first unit: an error in here would break the pool and say nothing.
    _worker = (cache(build_segmenter), tasks, folder)


def _end_with_parent() -> None:
    """Ends this process when the one that started it is gone, even by `kill -9`."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _run_in_worker(unit: Unit) -> None:
    assert _worker is not None
    segmenter, tasks, folder = _worker
    run_unit(segmenter(), tasks, unit, folder)
