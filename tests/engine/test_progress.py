"""Progress read from the disk, by the run itself and by the status command."""

import time
from pathlib import Path

import pytest

from data_engine.phases.claim import claimed
from data_engine.progress import SHARDS, ProgressReader, shown_progress
from data_engine.run_folder import write_json
from sam_train.data.store.bad_samples import BadSampleLog
from tools.run_status.engine import engine_lines


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A phase with a finished shard, an interrupted one and two that wait."""
    folder = tmp_path / "annotate"
    write_json(folder / SHARDS, {"a": 10, "b": 10, "c": 10, "d": 10})
    stats = {"images": 10, "masks": 50, "bad": 1, "worker": "host:1", "seconds": 5.0}
    write_json(folder / "a.stats.json", stats)
    with pytest.raises(KeyError), claimed(folder / "b.claim") as claim:
        claim.begin("photo-7", masks=0)
        raise KeyError("gone")
    BadSampleLog(tmp_path / "bad_samples.jsonl")("a", "photo-1", ValueError("it is no image"))
    return tmp_path


def test_images_of_begun_shards_count_and_their_workers_have_a_speed(run_dir: Path) -> None:
    with claimed(run_dir / "annotate/c.claim") as claim:
        for number in range(4):
            claim.begin(f"photo-{number}", masks=6 * number)
        progress = ProgressReader(run_dir / "annotate").read()

    assert (progress.done, progress.total) == (13, 40)
    (speed,) = progress.speeds().values()
    assert (speed.images, speed.masks) == (3, 18)
    assert "13/40 images (32%)" in str(progress) and "s left" in str(progress)


def test_a_shard_that_is_redone_does_not_count_its_interrupted_images(run_dir: Path) -> None:
    assert ProgressReader(run_dir / "annotate").read().done == 10


def test_the_status_tells_what_runs_waits_and_failed_and_why(run_dir: Path) -> None:
    with claimed(run_dir / "annotate/c.claim") as claim:
        claim.begin("photo-9", masks=0)
        text = "\n".join(engine_lines(run_dir))

    assert "1 finished, 1 running, 1 interrupted, 1 waiting" in text
    assert "running: c, image 1 of 10 (photo-9)" in text
    assert "interrupted: b, 1 times, last at photo-7" in text and "KeyError: 'gone'" in text
    assert "failed: 1 images (1 ValueError)" in text and "photo-1: it is no image" in text


def test_progress_is_logged_while_the_phase_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    with shown_progress(tmp_path, {"a": 1}, name="phase", every_s=0.01):
        time.sleep(0.1)

    assert len(caplog.messages) > 1
    assert caplog.messages[-1] == "phase: 0/1 images (0%)"
