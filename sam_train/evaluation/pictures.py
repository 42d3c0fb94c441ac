"""Pictures of evaluated masks, drawn from rows: no model is asked again."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sam_train.data.images import encode_jpeg
from sam_train.data.rle import decode_rle
from sam_train.data.sets.labeled_image import ImageSet, LabeledImage
from sam_train.evaluation.measures.summary import Row
from sam_train.evaluation.overlays import (
    Image,
    overlay_clicks,
    overlay_mask,
    overlay_outline,
    thumbnail,
)
from sam_train.evaluation.protocols.rounds import restored

PICTURE_SIDE = 288  # pixels of the longest side


class RowPainter:
    """Draws the masks of rows on their images, and writes the pictures into a folder."""

    def __init__(self, image_sets: Mapping[str, ImageSet], folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._image_sets = image_sets
        self._images: dict[str, dict[str, LabeledImage]] = {}

    def truth(self, row: Row, name: str) -> str:
        """The known mask, as the file `name`.jpg, whose name is returned."""
        picture, truth = self._read(row)
        return self._write(overlay_outline(overlay_mask(picture, truth), truth), name)

    def answer(self, row: Row, column: str, name: str, *, clicks: int) -> str:
        """The mask in a column of the row, the outline of the truth and the first clicks."""
        picture, truth = self._read(row)
        drawn = overlay_mask(picture, decode_rle(restored(row, column)))
        made = [(x, y, int(label)) for x, y, label in row["clicks"][:clicks]]
        drawn = overlay_clicks(overlay_outline(drawn, truth), made, truth.shape)
        return self._write(drawn, name)

    def _read(self, row: Row) -> tuple[Image, Any]:
        """The image as a thumbnail, and the known mask at full size."""
        name = row["set"]
        if name not in self._images:
            self._images[name] = {image.key: image for image in self._image_sets[name]}
        labeled = self._images[name][row["key"]]
        return thumbnail(labeled.load(), PICTURE_SIDE), decode_rle(labeled.masks()[row["mask_id"]])

    def _write(self, picture: Image, name: str) -> str:
        file = self.folder / f"{name}.jpg"
        file.write_bytes(encode_jpeg(picture, quality=80))
        return file.name


def click_examples(
    rows: Sequence[Row], painter: RowPainter, count: int, *, clicks: Sequence[int] = (1, 3)
) -> list[dict]:
    """Draws one object of each of `count` images, the sets in turn.

    Objects are drawn by the hash of their key, not picked. Each example is `{"set", "key",
    "mask_id", "truth": file, "predictions": [{"clicks", "iou", "file"}]}`.
    """
    examples = []
    for number, row in enumerate(drawn_rows(rows, count)):
        predictions = [
            {
                "clicks": n,
                "iou": row[f"iou_at_{n}"],
                "file": painter.answer(row, f"mask_at_{n}", f"{number:02d}-{n}-clicks", clicks=n),
            }
            for n in clicks
            if f"mask_at_{n}" in row
        ]
        example = {name: row[name] for name in ("set", "key", "mask_id")}
        truth = painter.truth(row, f"{number:02d}-truth")
        examples.append({**example, "truth": truth, "predictions": predictions})
    return examples


def drawn_rows(rows: Sequence[Row], count: int) -> list[Row]:
    """One row of every set's first drawn image, then of the second of every set, and so on."""
    ordered = sorted(rows, key=lambda row: _draw(f"{row['set']}/{row['key']}/{row['mask_id']}"))
    seen: dict[str, set[str]] = {}
    turns = []
    for row in ordered:
        images = seen.setdefault(row["set"], set())
        if row["key"] not in images:
            images.add(row["key"])
            turns.append((len(images), row["set"], row))
    return [row for _, _, row in sorted(turns, key=lambda turn: turn[:2])[:count]]


def worst_masks(
    rows: Sequence[Row], painter: RowPainter, *, name: str, iou: str, mask: str, count: int = 20
) -> list[dict[str, Any]]:
    """Draws the masks with the lowest IoU in a column, all clicks on them, the worst first.

    `name` tells their files from those of other protocols.
    """
    worst = sorted(rows, key=lambda row: (row[iou], row["set"], row["key"], row["mask_id"]))[:count]
    return [
        {
            **{part: row[part] for part in ("set", "key", "mask_id")},
            "iou": row[iou],
            "file": painter.answer(
                row, mask, f"{name}-worst-{number:02d}", clicks=len(row["clicks"])
            ),
        }
        for number, row in enumerate(worst)
    ]


def differing_masks(
    pairs: Sequence[tuple[Row, Row]],
    painter: RowPainter,
    *,
    name: str,
    iou: str,
    mask: str,
    count: int = 8,
) -> list[dict[str, Any]]:
    """Draws both models' masks where the second gains most, then where it loses most.

    `name` tells their files from those of other pairs.
    """
    ordered = sorted(pairs, key=lambda pair: pair[0][iou] - pair[1][iou])
    half = min(count // 2, len(ordered) // 2)
    chosen = [*ordered[:half], *ordered[len(ordered) - half :][::-1]]
    clicks = int(iou.rpartition("_")[2])
    return [
        {
            **{part: first[part] for part in ("set", "key", "mask_id")},
            "ious": [first[iou], second[iou]],
            "files": [
                painter.answer(row, mask, f"{name}-pair-{number:02d}-{side}", clicks=clicks)
                for side, row in enumerate((first, second))
            ],
        }
        for number, (first, second) in enumerate(chosen)
    ]


def _draw(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
