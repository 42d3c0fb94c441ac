"""Whether the disks of a run are fast and have room, and its shards can be read."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from sam_train.data.store.locations import Location, location
from sam_train.data.store.manifest import Dataset
from tools.machine_checks.check import Check

BYTES, PIECE = 128 * 2**20, 2**20
SLOW = 30e6  # bytes a second, at which a checkpoint of ViT-H takes four minutes
SAVED_BYTES = 12  # a weight and AdamW's two moments
HOME_GIB = 1.0  # caches of W&B, matplotlib and compiled kernels


def write_speed(folder: Path) -> Check:
    """What a checkpoint is written with, until it is safe."""
    folder.mkdir(parents=True, exist_ok=True)
    piece = os.urandom(PIECE)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        start = time.monotonic()
        for _ in range(BYTES // PIECE):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        speed = BYTES / (time.monotonic() - start)
    said = f"{speed / 1e6:,.0f} MB/s to {folder}, fsync included"
    return Check("ok" if speed > SLOW else "warning", said)


def room(folder: Path, *, weights: int, keep: int, free_gib: float) -> Check:
    """Whether the checkpoints of a run find room, the one that is being written too."""
    folder.mkdir(parents=True, exist_ok=True)
    needed = weights * SAVED_BYTES * (keep + 1) / 2**30 + free_gib
    free = shutil.disk_usage(folder).free / 2**30
    said = f"{free:,.1f} GiB free at {folder}, {needed:,.1f} wanted"
    if free < needed:
        return Check("failed", f"{said}: make room, or name another output_dir")
    return Check("ok", said)


def home() -> Check:
    """Whether libraries can write their caches."""
    folder = Path(tempfile.gettempdir()) if "HOME" not in os.environ else Path.home()
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"x" * PIECE)
    except OSError as error:
        return Check("failed", f"{folder} cannot be written ({error.strerror}): make room there")
    free = shutil.disk_usage(folder).free / 2**30
    said = f"{free:,.1f} GiB free at {folder}"
    return Check("ok", said) if free > HOME_GIB else Check("warning", f"{said}: make room there")


def read_speed(dataset: str, version: int | str) -> Check:
    """Whether all shards of a version are there; the first is read, not from memory."""
    found = Dataset(location(dataset))
    manifest = found.read(version)
    found.verify(manifest)
    images = sum(entry.image_count for entry in manifest.shards)
    count, seconds = read(found.root / manifest.shards[0].images)
    return Check(
        "ok",
        f"version {manifest.version} of {dataset}: {len(manifest.shards)} shards, {images:,} "
        f"images, all there; read with {count / seconds / 1e6:,.0f} MB/s",
    )


def read(path: Location) -> tuple[int, float]:
    """The bytes that were read of a file, and in how many seconds."""
    count, start = 0, time.monotonic()
    with path.open("rb") as file:
        if isinstance(path, Path):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while count < BYTES and (piece := file.read(PIECE)):
            count += len(piece)
    return count, max(time.monotonic() - start, 1e-9)
