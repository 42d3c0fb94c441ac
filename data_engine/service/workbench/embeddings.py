"""Images ready for clicks: encoded once and ahead of need, kept within bounds on disk and here."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from data_engine.duplicates import pixel_digest
from data_engine.people.drawing.crops import Crop
from data_engine.service.workbench.once import Once
from sam_train.data.images import read_image
from sam_train.data.store.durable import durable_file
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.evaluation.models.segmenter import WindowSegmenter
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.sam import Sam


@dataclass(frozen=True)
class PreparedImage:
    """An image as every annotator gets it, and a segmenter that has encoded it, or a crop of it."""

    key: str
    jpeg: bytes
    digest: str  # of the pixels that are encoded
    size: tuple[int, int]  # (H, W) of the whole image
    predictor: SamPredictor
    segmenter: WindowSegmenter
    crop: Crop | None = None

    @property
    def corner(self) -> tuple[int, int]:
        """The (x, y) in the image of the first pixel that is encoded."""
        return (self.crop[0], self.crop[1]) if self.crop else (0, 0)


class Embeddings:
    """Encodes images for many threads: each once, however many ask for it at the same time.

    `in_memory` images and crops stay ready, the ones used last; on disk the embeddings take at
    most `disk_bytes`. They belong to one model, whose hash names their folder. `segmenter_of` is
    what answers prompts on an embedding.
    """

    def __init__(
        self,
        sam: Sam,
        jpeg_of: Callable[[str], bytes],
        folder: Path,
        *,
        in_memory: int = 32,
        disk_bytes: int = 2_000_000_000,
        segmenter_of: Callable[[SamPredictor], WindowSegmenter] = SamSegmenter,
    ) -> None:
        self._sam = sam.eval()
        self._jpeg_of = jpeg_of
        self.folder = folder
        self._disk_bytes = disk_bytes
        self._segmenter_of = segmenter_of
        self._ready = Once[PreparedImage](in_memory)

    def get(self, key: str, crop: Crop | None = None) -> PreparedImage:
        """The image, encoded now if need be; raises ValueError or OSError if it cannot be read."""
        return self._ready.get((key, crop), lambda: self._prepare(key, crop))

    def _prepare(self, key: str, crop: Crop | None) -> PreparedImage:
        jpeg = self.get(key).jpeg if crop else self._jpeg_of(key)
        predictor = SamPredictor(self._sam)
        name = "-".join([hashlib.sha256(jpeg).hexdigest(), *map(str, crop or ())])
        path = self.folder / f"{name}.safetensors"
        digest = load_embedding(predictor, path)
        if digest is None:
            image = read_image(jpeg)
            if crop:
                image = np.ascontiguousarray(image[crop[1] : crop[3], crop[0] : crop[2]])
            predictor.set_image(image)
            digest = pixel_digest(image)
            save_embedding(predictor, path, digest)
            make_room(self.folder, self._disk_bytes)
        size = self.get(key).size if crop else predictor.original_size
        segmenter = self._segmenter_of(predictor)
        return PreparedImage(key, jpeg, digest, size, predictor, segmenter, crop)


def save_embedding(predictor: SamPredictor, path: Path, digest: str) -> None:
    """Writes the embedding of the predictor's image, its sizes and the digest of its pixels."""
    facts = {"sizes": [predictor.input_size, predictor.original_size], "digest": digest}
    features = predictor.get_image_embedding().contiguous().cpu()
    with durable_file(path) as file:
        file.write(save({"features": features}, metadata={"facts": json.dumps(facts)}))


def load_embedding(predictor: SamPredictor, path: Path) -> str | None:
    """Sets the predictor to a saved embedding; None if there is none that can be read."""
    try:
        with safe_open(path, "pt", device=str(predictor.device)) as file:
            facts = json.loads(file.metadata()["facts"])
            predictor.set_embedding(file.get_tensor("features"), *facts["sizes"])
        os.utime(path)
    except (OSError, SafetensorError):
        return None
    return facts["digest"]


def make_room(folder: Path, max_bytes: int) -> None:
    """Deletes the embeddings that were not used for longest until the rest fit."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: -file.stat().st_mtime)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > max_bytes:
            file.unlink(missing_ok=True)
