import hashlib
from multiprocessing import get_context

import pytest

from sam_train.data.store import durable
from sam_train.data.store.durable import durable_file, file_sha256


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file"
    with durable_file(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(RuntimeError), durable_file(tmp_path / "file") as file:
        file.write(b"half")
        raise RuntimeError
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_partial_file_of_a_killed_process_is_overwritten(tmp_path):
    (tmp_path / "file.partial").write_bytes(b"left behind by a kill, and longer")
    with durable_file(tmp_path / "file") as file:
        file.write(b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_finished_file_is_safe_from_the_remains_of_its_writer(tmp_path):
    (tmp_path / "file").write_bytes(b"finished")
    (tmp_path / "file.partial").hardlink_to(tmp_path / "file")
    with pytest.raises(FileExistsError), durable_file(tmp_path / "file", replace=False) as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"finished"
    assert len(list(tmp_path.iterdir())) == 1


def test_without_replace_an_existing_file_stays(tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError), durable_file(tmp_path / "file", replace=False) as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    assert file_sha256(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()


def test_one_process_writes_a_file_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "_PATIENCE_S", 0.0)
    with durable_file(tmp_path / "file") as file:
        file.write(b"first")
        with (
            pytest.raises(OSError, match="Another process is writing"),
            durable_file(tmp_path / "file"),
        ):
            pass
    assert (tmp_path / "file").read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 1


def test_writers_of_one_name_never_mix_their_bytes(tmp_path):
    def work(letter: bytes) -> None:
        for _ in range(20):
            with durable_file(tmp_path / "file") as file:
                for _ in range(10):
                    file.write(letter * 5000)
                    file.flush()
            assert set((tmp_path / "file").read_bytes()) <= set(b"abc")

    processes = [get_context("fork").Process(target=work, args=(c,)) for c in (b"a", b"b", b"c")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    content = (tmp_path / "file").read_bytes()
    assert len(content) == 50_000 and len(set(content)) == 1
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(tmp_path.iterdir())) == 1
