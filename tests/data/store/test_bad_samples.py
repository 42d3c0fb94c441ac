import json
from multiprocessing import get_context
from pathlib import Path

from sam_train.data.store.bad_samples import BadSampleLog


def report_all(path: Path) -> None:
    log = BadSampleLog(path)
    for number in range(100):
        log("a.tar", str(number), ValueError(f"mask {number}"))


def test_samples_are_listed_once_and_counted_by_kind(tmp_path):
    log = BadSampleLog(tmp_path / "run" / "bad.jsonl")
    assert log.counts() == {}
    for _ in range(2):
        log("a.tar", "x", ValueError("is empty"))
        log("a.tar", "y", OSError("cannot be read"))
        log("b.tar", "x", ValueError("is empty"))
    lines = [json.loads(line) for line in log.path.read_text().splitlines()]
    assert lines[0] == {"shard": "a.tar", "key": "x", "kind": "ValueError", "error": "is empty"}
    assert len(lines) == 3
    assert log.counts() == {"ValueError": 2, "OSError": 1}


def test_a_resumed_run_does_not_list_a_sample_again(tmp_path):
    for _ in range(2):
        BadSampleLog(tmp_path / "bad.jsonl")("a.tar", "x", ValueError())
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 1


def test_several_workers_share_the_list(tmp_path):
    context = get_context("spawn")
    workers = [context.Process(target=report_all, args=(tmp_path / "bad.jsonl",)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert BadSampleLog(tmp_path / "bad.jsonl").counts() == {"ValueError": 100}


def test_half_a_line_of_a_dead_worker_spoils_nothing(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"shard": "a.tar", "ke')
    log = BadSampleLog(tmp_path / "bad.jsonl")
    log("a.tar", "x", ValueError())
    assert log.counts() == {"ValueError": 1}
