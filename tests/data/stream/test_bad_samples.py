import json
from multiprocessing import get_context
from pathlib import Path

import pytest

from sam_train.data.stream.bad_samples import BadSampleLog, BadShare


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


def test_a_share_of_bad_samples_ends_the_run_once_it_is_a_share(tmp_path):
    share = BadShare(0.1, listed_in=tmp_path / "bad.jsonl")
    share.add(used=60, bad=39)
    with pytest.raises(ValueError, match=r"39 of 100 .* max_bad_share=0.1; .*bad.jsonl says why"):
        share.add(used=1, bad=0)


def test_a_share_at_its_limit_is_endured(tmp_path):
    BadShare(0.1, listed_in=tmp_path / "bad.jsonl").add(used=180, bad=20)
