"""Image embeddings of a teacher on disk, so that it looks at every image only once."""

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from sam_train.data.store.durable import durable_file

CARD = "embeddings.json"  # whose embeddings a folder holds
CARD_KEYS = ("teacher_sha256", "image_size", "keeps_aspect", "shape")

# (key, embedding) of each image that can be used.
Embedded = Iterable[tuple[str, Float16[np.ndarray, "C h w"]]]


class EmbeddingCache:
    """The embeddings of the images of a dataset, in half precision, a file for each shard.

    `embeddings.json` says whose they are. SHARD.f16 holds the bare rows and comes last, after
    SHARD.keys.json with the images of its rows; so a shard that has it is finished.
    """

    def __init__(self, folder: Path | str) -> None:
        """Opens a cache; its rows are mapped into memory, not read. ValueError if none is there."""
        self.folder = Path(folder)
        if not (self.folder / CARD).is_file():
            raise ValueError(
                f"{folder} holds no embeddings of a teacher: make them with "
                f"python -m tools.embed DATASET --teacher MODEL --out {folder}"
            )
        self.card = read_card(self.folder)
        self.shape: tuple[int, int, int] = tuple(self.card["shape"])
        self._rows: dict[str, tuple[np.memmap, int]] = {}
        for file in sorted(self.folder.glob("*.f16")):
            if not is_cached(self.folder, file.stem, self.shape):
                raise ValueError(
                    f"{file} is damaged, or {keys_path(file).name} beside it is: run tools.embed "
                    "again, which makes it anew"
                )
            if keys := read_keys(file)["keys"]:
                rows = np.memmap(file, np.float16, "r", shape=(len(keys), *self.shape))
                self._rows |= {key: (rows, number) for number, key in enumerate(keys)}

    def __len__(self) -> int:
        return len(self._rows)

    def of(self, keys: Sequence[str]) -> Float16[Tensor, "B C h w"]:
        """The embeddings of images; ValueError names one that is not there."""
        for key in keys:
            if key not in self._rows:
                raise ValueError(
                    f"{self.folder} holds no embedding of the image {key}: run tools.embed again "
                    "for the version that is trained on"
                )
        rows = (self._rows[key] for key in keys)
        return torch.from_numpy(np.stack([array[number] for array, number in rows]))

    def moments(self, images: int = 1000) -> tuple[Float[Tensor, "C h w"], Float[Tensor, "C 1 1"]]:
        """The mean at every place, and the deviation of every channel from it.

        Of so many `images`, spread over the cache, the same in every call.
        """
        keys = list(self._rows)[:: max(len(self) // images, 1)]
        total = squares = torch.zeros(self.shape, dtype=torch.float64)
        for key in keys:
            embedding = self.of([key])[0].double()
            total, squares = total + embedding, squares + embedding.square()
        mean = total / len(keys)
        variance = (squares / len(keys) - mean.square()).mean((1, 2), keepdim=True)
        return mean.float(), variance.clamp(min=1e-12).sqrt().float()


def open_cache(folder: Path, card: dict[str, Any]) -> None:
    """Begins a cache, or goes on with one of the same teacher; another raises ValueError."""
    if (folder / CARD).is_file():
        before = read_card(folder)
        if before != card:
            raise ValueError(
                f"{folder} holds embeddings of {_described(before)}, not of {_described(card)}: "
                "choose another folder"
            )
        return
    with durable_file(folder / CARD) as file:
        file.write(json.dumps(card, indent=1).encode())


def read_card(folder: Path) -> dict[str, Any]:
    """Whose embeddings a folder holds, and how the teacher saw the images."""
    try:
        card = json.loads((folder / CARD).read_text())
        return {key: card[key] for key in CARD_KEYS}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / CARD} does not say whose embeddings these are ({error!r}): choose another "
            "folder, or delete this one"
        ) from error


def _described(card: dict[str, Any]) -> str:
    shown = "padded" if card["keeps_aspect"] else "stretched"
    return f"{card['teacher_sha256'][:12]} at {card['image_size']} pixels, {shown}"


def is_cached(
    folder: Path, shard: str, shape: tuple[int, int, int], images_sha256: str | None = None
) -> bool:
    """Whether the embeddings of a shard are there and whole.

    With `images_sha256` those of another shard of this name raise ValueError.
    """
    file = folder / f"{shard}.f16"
    if not file.is_file():
        return False
    try:
        card = read_keys(file)
        count, made_of = len(card["keys"]), card["images_sha256"]
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        return False
    if images_sha256 not in (None, made_of):
        raise ValueError(
            f"{folder} holds embeddings of another {shard}.tar, whose images are not those of this "
            "dataset: choose another folder"
        )
    return file.stat().st_size == 2 * count * math.prod(shape)


def write_rows(folder: Path, shard: str, embedded: Embedded, *, images_sha256: str) -> int:
    """Writes the embeddings of one shard, as they come, and returns how many there are.

    What is not finite raises ValueError: nothing can be learned from it.
    """
    keys: list[str] = []
    path = folder / f"{shard}.f16"
    with durable_file(path) as file:
        for key, embedding in embedded:
            if not np.isfinite(embedding).all():
                raise ValueError(
                    f"the teacher's embedding of the image {key} is not finite in half precision: "
                    "choose another teacher"
                )
            file.write(embedding.tobytes())
            keys.append(key)
        with durable_file(keys_path(path)) as names:
            names.write(json.dumps({"images_sha256": images_sha256, "keys": keys}).encode())
    return len(keys)


def check_room(folder: Path, needed: int) -> None:
    """Raises OSError where the disk has less room than the `needed` bytes."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"the embeddings take {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f}: choose "
            "a folder on a larger disk, or fewer images"
        )


def read_keys(file: Path) -> dict[str, Any]:
    return json.loads(keys_path(file).read_text())


def keys_path(file: Path) -> Path:
    return file.with_name(f"{file.stem}.keys.json")
