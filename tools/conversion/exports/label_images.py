"""A dataset version as images and label PNGs."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

from sam_train.data.label_map import label_map
from sam_train.data.records import Annotation, Sample
from sam_train.data.store.durable import durable_file

MAX_8_BIT = 254  # 255 means void in 8-bit label images (DAVIS, VOC)
MAX_16_BIT = 65535


def export_labels(samples: Iterable[Sample], out: Path) -> str:
    """Writes OUT/images/KEY.jpg and OUT/labels/KEY.png; tells how many masks lost pixels.

    `python -m tools.convert masks --layout label_image` reads them back.
    """
    images = masks = covered = 0
    for sample in samples:
        annotations = sample.record["annotations"]
        size = (sample.record["image"]["height"], sample.record["image"]["width"])
        labels = paint_labels(annotations, size)
        left = np.bincount(labels.ravel(), minlength=len(annotations) + 1)[1:]
        covered += sum(a["area"] > n for a, n in zip(annotations, left, strict=True))
        images, masks = images + 1, masks + len(annotations)

        buffer = io.BytesIO()
        Image.fromarray(labels).save(buffer, "PNG")
        for name, content in (
            (f"images/{sample.key}.jpg", sample.image_bytes),
            (f"labels/{sample.key}.png", buffer.getvalue()),
        ):
            with durable_file(out / name) as file:
                file.write(content)
    return f"{out}: {images:,} images, {masks:,} masks, {covered:,} partly or wholly covered"


def paint_labels(
    annotations: Sequence[Annotation], size: tuple[int, int]
) -> UInt8[np.ndarray, "H W"] | UInt16[np.ndarray, "H W"]:
    """Pixel k shows the k-th mask, 0 none. Where masks overlap, the smaller lies on top."""
    if len(annotations) > MAX_16_BIT:
        raise ValueError(
            f"{len(annotations):,} masks of one image do not fit into a label image of 16 bits: "
            f"export to COCO"
        )
    labels = label_map([annotation["segmentation"] for annotation in annotations], size)
    return labels.astype(np.uint8 if len(annotations) <= MAX_8_BIT else np.uint16)
