"""A dataset version as the json of COCO instances or of LVIS."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from sam_train.data.records import Annotation, Sample
from sam_train.data.rle import decode_rle
from sam_train.data.store.durable import durable_file
from tools.conversion.exports.image_files import write_image
from tools.conversion.exports.polygons import mask_polygons

Style = Literal["coco", "lvis"]

OBJECT = 1  # the only category
CATEGORIES: dict[Style, dict[str, Any]] = {
    "coco": {"id": OBJECT, "name": "object", "supercategory": "object"},
    "lvis": {
        "id": OBJECT,
        "name": "object",
        "synset": "object.n.01",
        "synonyms": ["object"],
        "def": "anything that has a mask",
        "frequency": "f",
    },
}


def export_coco(
    samples: Iterable[Sample],
    out: Path,
    *,
    style: Style = "coco",
    polygons: bool = False,
    images: Path | None = None,
) -> str:
    """Writes the json, and the image files if there is a folder for them; tells what is in it.

    Masks are compressed RLE, bit-equal to the version's, or polygons that pycocotools paints
    back to the same pixels. Images are numbered anew and named KEY.jpg; prompts, crops and
    provenance have no place in these formats.
    """
    entries, masks = list[bytes](), 0
    with durable_file(out) as file:
        file.write(b'{"annotations":[')
        for sample in samples:
            entries.append(_text(image_entry(sample, len(entries) + 1, style=style)))
            for annotation in sample.record["annotations"]:
                masks += 1
                entry = mask_entry(annotation, masks, polygons=polygons)
                crowd = {"iscrowd": 0} if style == "coco" else {}
                text = _text(entry | {"image_id": len(entries)} | crowd)
                file.write((b",\n" if masks > 1 else b"\n") + text)
            write_image(sample, images)
        counted = {"image_count": len(entries), "instance_count": masks} if style == "lvis" else {}
        file.write(b'\n],"images":[\n' + b",\n".join(entries) + b"\n],")
        file.write(b'"categories":[' + _text(CATEGORIES[style] | counted) + b"]}")
    return f"{out}: {len(entries):,} images, {masks:,} masks"


def image_entry(sample: Sample, id: int, *, style: Style) -> dict[str, Any]:
    """An image of the json. LVIS also says that nobody looked for all objects of the category."""
    info = sample.record["image"]
    size = {"width": info["width"], "height": info["height"]}
    lvis = {"neg_category_ids": [], "not_exhaustive_category_ids": [OBJECT]}
    return {"id": id, "file_name": f"{sample.key}.jpg"} | size | (lvis if style == "lvis" else {})


def mask_entry(annotation: Annotation, id: int, *, polygons: bool) -> dict[str, Any]:
    """An annotation of the json, without its image. The scores go along; readers pass them over."""
    rle = annotation["segmentation"]
    return {
        "id": id,
        "category_id": OBJECT,
        "segmentation": mask_polygons(decode_rle(rle)) if polygons else rle,
        "bbox": annotation["bbox"],
        "area": annotation["area"],
        "predicted_iou": annotation["predicted_iou"],
        "stability_score": annotation["stability_score"],
    }


def _text(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()
