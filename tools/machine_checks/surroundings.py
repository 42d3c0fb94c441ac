"""The clock and the tracking server of a run."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from sam_train import wandb_run
from tools.machine_checks.check import Check

SKEW_S = 2.0  # between this machine and the disk of a run
PATIENCE_S = 5.0


def clock(folder: Path) -> Check:
    """Whether the clock is that of the disk's machine, and is kept right by a server."""
    if time.time() < Path(__file__).stat().st_mtime:
        return Check("failed", "the clock is behind the files of this program: set it")
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")
        file.flush()
        skew = abs(Path(file.name).stat().st_mtime - time.time())
    if skew > SKEW_S:
        return Check("warning", f"{skew:.0f} s from the clock of the disk at {folder}: set one")
    if synchronized() is False:
        return Check("warning", "no time server is asked: `timedatectl set-ntp true`")
    return Check("ok", f"{skew:.1f} s from that of the disk")


def synchronized() -> bool | None:
    """Whether the system keeps its clock right; None where it does not tell."""
    if shutil.which("timedatectl") is None:
        return None
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None
    return {"yes": True, "no": False}.get(asked.stdout.strip())


def tracking(loggers: dict[str, Any]) -> Check:
    """Whether W&B can be reached, where it is asked for."""
    if "wandb" not in loggers:
        return Check("ok", f"{', '.join(loggers)}; W&B is not asked for")
    if not wandb_run.has_key():
        return Check("warning", "no W&B key: offline until `wandb login`, then `wandb sync`")
    if not wandb_run.answers(wandb_run.server()):
        return Check("warning", f"{wandb_run.server()} does not answer: W&B will be offline")
    return Check("ok", f"{wandb_run.server()} answers, a key is set")
