"""Whether the devices that a trainer asks for are there, and free."""

import os
from typing import Any

import torch

from tools.machine_checks.check import Check

FREE = 0.9  # of a GPU's memory, before anything is on it


def devices(trainer: dict[str, Any]) -> Check:
    """The GPUs or cores that a run will have."""
    if trainer["accelerator"] != "gpu":
        cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
        return Check("ok", f"{cores} CPU cores, {threads} threads a process, no GPU asked for")
    if not torch.cuda.is_available():
        return Check(
            "failed",
            f"torch {torch.__version__} sees no GPU: check nvidia-smi, the driver's version and "
            f"CUDA_VISIBLE_DEVICES, or choose trainer=cpu",
        )
    count, asked = torch.cuda.device_count(), gpus_asked(trainer)
    if asked > count:
        return Check("failed", f"trainer.devices asks for {asked} GPUs, {count} are there")
    busy = [number for number in range(count) if not is_free(number)]
    named = f"{count} x {torch.cuda.get_device_name()}, {memory_gib(0):.0f} GiB each"
    if busy:
        return Check("warning", f"{named}; other programs are on {busy}: see nvidia-smi")
    return Check("ok", named)


def gpus_asked(trainer: dict[str, Any]) -> int:
    """The GPUs of this machine that a trainer takes."""
    asked = trainer["devices"]
    if isinstance(asked, list):
        return len(asked)
    return torch.cuda.device_count() if asked in (-1, "-1", "auto") else int(asked)


def is_free(number: int) -> bool:
    free, total = torch.cuda.mem_get_info(number)
    return free > FREE * total


def memory_gib(number: int) -> float:
    return torch.cuda.get_device_properties(number).total_memory / 2**30
