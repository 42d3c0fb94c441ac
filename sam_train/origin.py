"""What a run was made with: the command, the code's commit, the packages and the machine."""

import os
import platform
import shlex
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

GIT_S = 5.0  # longer than git takes where the repository lies on a slow disk


def origin() -> dict[str, Any]:
    """The process and where it runs. Nothing is asked of the network."""
    commit, is_modified = checkout()
    return {
        "command": command_line(),
        "cwd": str(Path.cwd()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": slurm_job(),
        "commit": commit,
        "modified": is_modified,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpus": gpus(),
    }


def command_line() -> str:
    """The command of this process, as `python -m` where it was started so."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["python", "-m", spec.name] if spec else [sys.argv[0]]
    return shlex.join([*program, *sys.argv[1:]])


def slurm_job() -> str | None:
    """The job's number as `squeue` names it, 12 or 12_3 in an array."""
    if task := os.environ.get("SLURM_ARRAY_TASK_ID"):
        return f"{os.environ.get('SLURM_ARRAY_JOB_ID')}_{task}"
    return os.environ.get("SLURM_JOB_ID")


def code_version() -> str:
    """The package's version and its commit, if it has one: 0.1.0+5508f24, -dirty if changed."""
    try:
        installed = version("sam-train")
    except PackageNotFoundError:
        installed = "unknown"
    commit, is_modified = checkout()
    return installed + (f"+{commit[:7]}" if commit else "") + ("-dirty" if is_modified else "")


def checkout() -> tuple[str | None, bool | None]:
    """The commit of the code that runs and whether it was changed since; None if it has none."""
    here = Path(__file__)
    if git("ls-files", "--error-unmatch", here.name, folder=here.parent) is None:
        return None, None  # installed, perhaps below a repository of something else
    commit = git("rev-parse", "HEAD", folder=here.parent)
    changes = git("status", "--porcelain", "--untracked-files=no", folder=here.parent)
    return commit, bool(changes)


def git(*words: str, folder: Path) -> str | None:
    """What git says; None where it fails or is not there."""
    try:
        run = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=GIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def gpus() -> list[str]:
    """The GPUs that this process sees; torch is not loaded to find out."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def packages() -> str:
    """Every installed package with its version, a line each, as `pip install -r` takes them."""
    found = {dist.metadata["Name"]: dist.version for dist in distributions()}
    lines = [f"{name}=={version}" for name, version in found.items() if name]
    return "\n".join(sorted(lines, key=str.lower)) + "\n"
