"""What the doctor finds on this machine, and that a bad one is told."""

import shutil
from pathlib import Path

import pytest

from tools.machine_checks.all_reduce import exchange
from tools.machine_checks.check import Check, run_checks
from tools.machine_checks.devices import devices
from tools.machine_checks.disk import home, read, room, write_speed
from tools.machine_checks.surroundings import clock, tracking

CPU = {"accelerator": "cpu", "devices": 1}


def test_a_check_that_raises_has_failed_with_its_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def gone() -> Check:
        raise FileNotFoundError("the shard is gone: copy it back\nand more")

    found = run_checks({"shards": gone, "disk": lambda: Check("ok", "9 MB/s")})

    assert [check.state for check in found] == ["failed", "ok"]
    assert "failed    shards    the shard is gone: copy it back\n" in capsys.readouterr().out


def test_the_disk_and_the_clock_of_this_machine_are_measured(tmp_path: Path) -> None:
    assert "MB/s" in write_speed(tmp_path / "new").said
    assert clock(tmp_path).state in ("ok", "warning")
    assert list((tmp_path / "new").iterdir()) == []  # nothing is left
    (tmp_path / "shard").write_bytes(b"x" * 5000)
    assert read(tmp_path / "shard")[0] == 5000


def test_a_disk_without_room_for_the_checkpoints_fails(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    weights = free // 12  # three checkpoints of them are too much

    assert room(tmp_path, weights=weights, keep=2, free_gib=0.0).state == "failed"
    assert room(tmp_path, weights=1, keep=2, free_gib=0.0).state == "ok"


def test_a_home_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "gone"))

    assert home().state == "failed"


def test_wandb_without_a_key_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)

    assert tracking({"csv": {}}).state == "ok"
    assert tracking({"csv": {}, "wandb": {}}).state == "warning"


def test_a_trainer_gets_the_devices_that_it_asks_for_or_fails() -> None:
    import torch

    assert devices(CPU).state == "ok"
    many = {"accelerator": "gpu", "devices": torch.cuda.device_count() + 1}
    assert devices(many).state == "failed"
    assert exchange(CPU, weights=1).said == "one rank: nothing is exchanged"


@pytest.mark.slow
def test_two_ranks_add_up_their_gradients() -> None:
    found = exchange(CPU | {"devices": 2}, weights=4_600_000)

    assert found.state == "ok" and "2 ranks by gloo" in found.said
