"""Images ready for clicks: encoded once and ahead of need, kept within bounds on disk and here."""

import hashlib
import json
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from data_engine.duplicates import pixel_digest
from sam_train.data.images import read_image
from sam_train.data.store.durable import durable_file
from sam_train.evaluation.models.sam import SamSegmenter
from sam_train.inference.predictor import SamPredictor
from sam_train.modeling.sam import Sam

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedImage:
    """An image as every annotator gets it, and a segmenter that has encoded it."""

    key: str
    jpeg: bytes
    digest: str  # of its pixels
    segmenter: SamSegmenter

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)"""
        size = self.segmenter.predictor.original_size
        assert size is not None
        return size


class Embeddings:
    """Encodes images for many threads: each once, however many ask for it at the same time.

    `in_memory` images stay ready, the ones used last; on disk the embeddings take at most
    `disk_bytes`. They belong to one model, whose hash names their folder.
    """

    def __init__(
        self,
        sam: Sam,
        jpeg_of: Callable[[str], bytes],
        folder: Path,
        *,
        in_memory: int = 32,
        disk_bytes: int = 2_000_000_000,
    ) -> None:
        self._sam = sam.eval()
        self._jpeg_of = jpeg_of
        self._folder = folder
        self._in_memory = in_memory
        self._disk_bytes = disk_bytes
        self._ready: OrderedDict[str, Future[PreparedImage]] = OrderedDict()
        self._lock = threading.Lock()
        self._ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="encode-ahead")

    def get(self, key: str) -> PreparedImage:
        """The image, encoded now if need be; raises ValueError or OSError if it cannot be read."""
        with self._lock:
            future = self._ready.get(key)
            is_mine = future is None
            if future is None:
                future = self._ready[key] = Future()
            self._ready.move_to_end(key)
            while len(self._ready) > self._in_memory:
                self._ready.popitem(last=False)
        if is_mine:
            try:
                future.set_result(self._prepare(key))
            except BaseException as error:
                with self._lock:
                    self._ready.pop(key, None)
                future.set_exception(error)
        return future.result()

    def get_ahead(self, keys: Iterable[str]) -> None:
        """Encodes images in the background, in this order."""
        for key in keys:
            if key not in self._ready:
                self._ahead.submit(self._get_quietly, key)

    def close(self) -> None:
        """Lets the image under way finish and drops the rest."""
        self._ahead.shutdown(cancel_futures=True)

    def _get_quietly(self, key: str) -> None:
        try:
            self.get(key)
        except (ValueError, OSError) as error:  # told to whoever gets the image
            logger.warning(f"{key}: {error}")

    def _prepare(self, key: str) -> PreparedImage:
        jpeg = self._jpeg_of(key)
        predictor = SamPredictor(self._sam)
        path = self._folder / f"{hashlib.sha256(jpeg).hexdigest()}.safetensors"
        digest = load_embedding(predictor, path)
        if digest is None:
            image = read_image(jpeg)
            predictor.set_image(image)
            digest = pixel_digest(image)
            save_embedding(predictor, path, digest)
            make_room(self._folder, self._disk_bytes)
        return PreparedImage(key, jpeg, digest, SamSegmenter(predictor))


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
