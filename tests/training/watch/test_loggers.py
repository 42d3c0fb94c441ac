"""Logging beside the CSV: W&B without a network, pictures of bounded size, TensorBoard."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger

from sam_train import wandb_run
from sam_train.training.watch.loggers import log_picture, shrink, wandb_logger

pytestmark = pytest.mark.filterwarnings("ignore")  # W&B's own


@pytest.fixture
def silent_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A server that accepts connections and never says a word; a key for it is set."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_API_KEY", 40 * "a")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("WANDB_BASE_URL", url)
        yield url


def test_a_run_is_online_with_a_key_and_a_server_that_answers(
    silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not wandb_run.answers(silent_server, seconds=0.2)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert wandb_run.mode() == "online"
        monkeypatch.delenv("WANDB_API_KEY")
        assert wandb_run.mode() == "offline"
        server.shutdown()
        thread.join()


def test_a_server_that_falls_silent_is_not_waited_for(
    silent_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")  # as if it had answered a moment ago
    monkeypatch.setattr(wandb_run, "INIT_S", 1.0)
    monkeypatch.setattr(wandb_run, "FINISH_S", 1.0)
    monkeypatch.setenv("WANDB_RUN_GROUP", "sweep")  # as a launcher does
    folder = tmp_path / "sweep" / "seed=0"
    folder.mkdir(parents=True)
    run = wandb_logger(save_dir=folder, project="p", name="n").experiment
    run.log({"loss": 1.0})
    name, group = run.id, run.group
    run.finish()

    assert list(folder.glob(f"wandb/offline-run-*-{name}"))
    assert group == "sweep"


def test_a_resumed_run_keeps_its_id(tmp_path: Path) -> None:
    first = wandb_run.run_id(tmp_path)

    assert wandb_run.run_id(tmp_path) == first
    assert wandb_run.run_id(tmp_path / "other") != first


def test_a_logged_picture_has_a_bounded_size(tmp_path: Path) -> None:
    picture = np.zeros((64, 128, 3), dtype=np.uint8)
    assert shrink(picture, 128) is picture
    assert shrink(picture, 32).shape == (16, 32, 3)

    log = TensorBoardLogger(tmp_path, name="", version="")
    log_picture(log, "train/predictions", picture, step=1)
    log.finalize("success")
    assert list(tmp_path.glob("events.out.tfevents.*"))
