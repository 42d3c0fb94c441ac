"""Draws masks of each phase and size by lot, as pictures and a list that people fill in."""

import csv
import hashlib
import heapq
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from sam_train.data.images import encode_jpeg, read_image
from sam_train.data.records import Sample, mask_phase
from sam_train.data.rle import Rle, decode_rle, rle_box
from sam_train.data.store.bad_samples import pass_over
from sam_train.data.store.durable import durable_file
from sam_train.data.store.shards import IndexedShard
from sam_train.evaluation.measures.summary import size_class
from sam_train.evaluation.overlays import overlay_outline
from tools.dataset_versions.copies import Version

SAMPLE, MASKS = "sample.csv", "masks.json"
SIDE = 640  # of a picture, the longer one, in pixels
CONTEXT = 0.5  # of the mask's box, on each side of it

Lot = tuple[int, str, int, IndexedShard]  # the number drawn, the image's key, the mask's id


@dataclass(frozen=True)
class Drawn:
    """A line of the list. `of` is how many masks the stratum has; `iou` is to be filled in."""

    picture: str
    key: str
    mask: int
    phase: str
    size: str
    of: int
    iou: str = ""


def draw(version: Version, folder: Path, *, masks: int, seed: int) -> int:
    """Writes the pictures of at most so many masks of each stratum, then the list.

    A mask's lot is a hash of its key and id: the same seed draws the same masks. Returns how many.
    """
    if masks < 1:
        raise ValueError(f"--masks is {masks}: a stratum needs at least one")
    if (folder / SAMPLE).exists():
        raise ValueError(f"{folder} holds an audit already, which may be filled in: name another")
    strata, counts = defaultdict[tuple[str, str], list[Lot]](list), Counter[tuple[str, str]]()
    for stratum, lot in _lots(version, seed):
        counts[stratum] += 1
        push = heapq.heappush if len(strata[stratum]) < masks else heapq.heappushpop
        push(strata[stratum], (-lot[0], *lot[1:]))  # the largest lot comes out first
    if not counts:
        raise ValueError(f"version {version.manifest.version} has no mask to draw")
    drawn, rles = list[Drawn](), dict[str, Rle]()
    for (phase, size), lots in sorted(strata.items()):
        for _, key, id, shard in sorted(lots, key=lambda lot: lot[1:3]):
            name = f"{key}-{id}.jpg"
            rles[name] = _write_picture(folder / name, shard[key], id)
            drawn.append(Drawn(name, key, id, phase, size, counts[phase, size]))
    with durable_file(folder / MASKS) as file:
        file.write(json.dumps(rles).encode())
    write_sample(folder, drawn)
    return len(drawn)


def _lots(version: Version, seed: int) -> Iterator[tuple[tuple[str, str], Lot]]:
    """The stratum and the lot of every mask of the version."""
    for entry in version.manifest.shards:
        shard = version.dataset.indexed(entry, on_bad=pass_over)
        for key in shard.keys:
            for mask in shard.record(key)["annotations"]:
                digest = hashlib.sha256(f"{seed} {key} {mask['id']}".encode()).digest()
                lot = (int.from_bytes(digest[:8], "big"), key, mask["id"], shard)
                yield (mask_phase(mask), size_class(mask["area"])), lot


def _write_picture(path: Path, sample: Sample, id: int) -> Rle:
    rle = next(a["segmentation"] for a in sample.record["annotations"] if a["id"] == id)
    with durable_file(path) as file:
        file.write(encode_jpeg(picture(read_image(sample.image_bytes), rle)))
    return rle


def picture(image: UInt8[np.ndarray, "H W 3"], rle: Rle) -> UInt8[np.ndarray, "h w 3"]:
    """What is around a mask, large enough to be judged, and the same with the mask's outline."""
    x0, y0, x1, y1 = rle_box(rle).round().astype(int).tolist()
    dx, dy = (max(8, round(CONTEXT * side)) for side in (x1 - x0, y1 - y0))
    window = np.s_[max(0, y0 - dy) : y1 + dy, max(0, x0 - dx) : x1 + dx]
    shown, mask = image[window], decode_rle(rle)[window]
    height, width = shown.shape[:2]
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shown = cv2.resize(shown, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.hstack([shown, overlay_outline(shown, mask)])


def write_sample(folder: Path, drawn: list[Drawn]) -> None:
    """Writes the list into the folder."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(Drawn.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(asdict, drawn))
    with durable_file(folder / SAMPLE) as file:
        file.write(text.getvalue().encode())
