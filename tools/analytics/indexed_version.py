"""A dataset version with the answers of its mask index."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from jaxtyping import Int

from sam_train.data.store.locations import Location
from sam_train.data.store.manifest import Manifest
from tools.analytics.queries import CENTRE_CELLS, DRAWN_IMAGES, MEASURES, QUERIES


@dataclass(frozen=True)
class IndexedVersion:
    """A version whose mask index is in `files`."""

    root: Location
    manifest: Manifest
    files: Sequence[Path]

    @property
    def name(self) -> str:
        return f"version {self.manifest.version}"

    @property
    def images(self) -> int:
        """Its images, those without masks included."""
        return sum(entry.image_count for entry in self.manifest.shards)

    def answer(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows that a query on the table `masks` gives; `$name` is a parameter."""
        answer = self._connection.execute(sql, parameters)
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    @cached_property
    def overview(self) -> dict[str, Any]:
        """The averages over all masks."""
        (row,) = self.answer(QUERIES["overview"])
        return row

    @cached_property
    def phases(self) -> list[dict[str, Any]]:
        """The averages by phase, round and annotator."""
        return self.answer(QUERIES["phases"])

    @property
    def sources(self) -> list[dict[str, Any]]:
        """Images and masks by source."""
        images: dict[str, int] = {}
        for entry in self.manifest.shards:
            images[entry.source] = images.get(entry.source, 0) + entry.image_count
        masks = {row["source"]: row["masks"] for row in self.answer(QUERIES["sources"])}
        return [
            {"source": source, "images": count, "masks": masks.get(source, 0)}
            for source, count in sorted(images.items())
        ]

    def histogram(self, name: str) -> Int[np.ndarray, " bins"]:
        """How many masks lie in each bin of a measure."""
        counts = np.zeros(MEASURES[name].bins, np.int64)
        for row in self.answer(QUERIES[name]):
            counts[int(row["bin"])] = row["masks"]
        return counts

    def centres(self) -> Int[np.ndarray, "y x"]:
        """How many masks have their centre in each cell of an image."""
        counts = np.zeros((CENTRE_CELLS, CENTRE_CELLS), np.int64)
        for row in self.answer(QUERIES["centres"]):
            counts[int(row["y"]), int(row["x"])] = row["masks"]
        return counts

    def masks_per_image(self) -> dict[int, int]:
        """How many images have that many masks."""
        images = {row["masks"]: row["images"] for row in self.answer(QUERIES["masks_per_image"])}
        return {0: self.images - sum(images.values())} | images

    def drawn_images(self, shards: Sequence[str], count: int) -> list[dict[str, Any]]:
        """Shard and key of images with masks, drawn by the hash of their key, not picked."""
        return self.answer(DRAWN_IMAGES, shards=list(shards), count=count)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.read_parquet([str(file) for file in self.files]).create_view("masks")
        return connection
