"""Weights & Biases that never waits for the network: one run for each run folder.

Online where there is a key and the server answers; offline otherwise, for `wandb sync` later.
"""

import logging
import netrc
import os
import secrets
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from sam_train.data.store.durable import durable_file

logger = logging.getLogger(__name__)

ANSWER_S = 3.0  # for the server to say anything
INIT_S = 15.0  # for it to begin a run; then the run is offline
FINISH_S = 60.0  # for the last uploads; `wandb sync` does the rest


def wandb_arguments(folder: Path) -> dict[str, Any]:
    """Arguments of `wandb.init` for a run folder: a run that is resumed keeps its id."""
    import wandb

    config = folder / "config.yaml"
    return {
        "id": run_id(folder),
        "resume": "allow",
        "mode": mode(),
        "config": yaml.safe_load(config.read_text()) if config.exists() else None,
        "settings": wandb.Settings(
            init_timeout=INIT_S, login_timeout=INIT_S, finish_timeout=FINISH_S, silent=True
        ),
    }


def run_id(folder: Path) -> str:
    """The id in the folder, made by whichever process comes first."""
    path = folder / "wandb_id.txt"
    if not path.exists():
        with suppress(FileExistsError), durable_file(path, replace=False) as file:
            file.write(secrets.token_hex(4).encode())
    return path.read_text().strip()


def mode() -> str:
    """Whether a run can be online now. WANDB_MODE decides where it is set."""
    if said := os.environ.get("WANDB_MODE"):
        return said
    if not has_key():
        return "offline"
    if not answers(server()):
        logger.warning(f"{server()} does not answer: W&B is offline, `wandb sync` uploads later")
        return "offline"
    return "online"


def server() -> str:
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")


def has_key() -> bool:
    """Whether WANDB_API_KEY or `wandb login` gave one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(urlsplit(server()).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def answers(url: str, *, seconds: float = ANSWER_S) -> bool:
    """Whether a server says anything at all in time; looking its name up is part of it."""
    parts, answered = urlsplit(url), threading.Event()
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection

    def ask() -> None:
        with suppress(OSError, HTTPException):
            connection = kind(parts.hostname or "", parts.port, timeout=seconds)
            connection.request("HEAD", "/")
            connection.getresponse()
            answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered.wait(seconds)
