"""How fast ranks add up gradients: NCCL between GPUs, gloo between processes."""

import os
import time
from datetime import timedelta
from multiprocessing.queues import SimpleQueue
from typing import Any

import torch
from torch import distributed
from torch.multiprocessing import get_context, start_processes

from tools.machine_checks.check import Check
from tools.machine_checks.devices import gpus_asked

BYTES, TIMES = 64 * 2**20, 5
PATIENCE_S = 90.0  # for ranks that do not find each other


def exchange(trainer: dict[str, Any], *, weights: int) -> Check:
    """The bus bandwidth, as nccl-tests counts it, and what it makes of a step's gradients."""
    on_gpus = trainer["accelerator"] == "gpu"
    ranks = gpus_asked(trainer) if on_gpus else max(int(trainer["devices"]), 1)
    if ranks < 2:
        return Check("ok", "one rank: nothing is exchanged")
    backend = "nccl" if on_gpus else "gloo"
    seconds = measured(ranks, backend)
    if seconds is None:
        return Check(
            "failed",
            f"{ranks} ranks did not meet by {backend} within {PATIENCE_S:.0f} s: NCCL_DEBUG=INFO "
            f"says why; a firewall or NCCL_SOCKET_IFNAME (GLOO_SOCKET_IFNAME) is the usual cause",
        )
    bandwidth = 2 * (ranks - 1) / ranks * BYTES / seconds
    gradients = 2 * (ranks - 1) / ranks * 4 * weights / bandwidth
    return Check(
        "ok",
        f"{ranks} ranks by {backend}: {bandwidth / 1e9:.2f} GB/s, {gradients * 1e3:.0f} ms for "
        f"the gradients of a step, mostly while others are computed",
    )


def measured(ranks: int, backend: str) -> float | None:
    """The seconds of one all-reduce; None if the ranks do not end in time once all have begun."""
    said = get_context("spawn").SimpleQueue()
    group = start_processes(add_up, (ranks, backend, said), ranks, join=False)
    begun, deadline = 0, float("inf")
    try:
        while time.monotonic() < deadline:
            ended = group.join(timeout=1.0)
            while not said.empty():
                seconds = said.get()
                if seconds is not None:
                    return seconds
                begun += 1
            if ended:
                return None
            if begun == ranks and deadline == float("inf"):
                deadline = time.monotonic() + PATIENCE_S
        return None
    finally:
        for process in group.processes:
            process.kill()


def add_up(rank: int, ranks: int, backend: str, said: SimpleQueue) -> None:
    """What each rank does: it says None when it begins, and the first one how long it took."""
    said.put(None)
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29517")
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    timeout = timedelta(seconds=PATIENCE_S)
    distributed.init_process_group(backend, rank=rank, world_size=ranks, timeout=timeout)
    values = torch.ones(BYTES // 4, device=device)
    distributed.all_reduce(values)  # connects
    seconds = []
    for _ in range(TIMES):
        distributed.barrier()
        start = time.monotonic()
        distributed.all_reduce(values)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.monotonic() - start)
    if rank == 0:
        said.put(sorted(seconds)[TIMES // 2])
    distributed.destroy_process_group()
