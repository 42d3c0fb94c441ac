"""One row per mask: what its record says, all but the run lengths, and what they measure."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from sam_train.data.records import Annotation, InvalidRecord, Sample, mask_phase
from sam_train.data.store.manifest import ShardEntry
from tools.analytics.mask_shape import MaskShape, mask_shapes

NUMBERS = pa.list_(pa.float64())

SCHEMA = pa.schema(
    {
        # where the mask is: shard, image, place in its record (0 for an image's first)
        "shard": pa.string(),
        "source": pa.string(),
        "key": pa.string(),
        "image_id": pa.int64(),
        "file_name": pa.string(),
        "image_width": pa.int32(),
        "image_height": pa.int32(),
        "masks_in_image": pa.int32(),
        "place": pa.int32(),
        # the annotation; keys that SA-1B does not have are a json object in `other`
        "id": pa.int64(),
        "bbox": NUMBERS,
        "area": pa.int64(),
        "predicted_iou": pa.float64(),
        "stability_score": pa.float64(),
        "crop_box": NUMBERS,
        "point_coords": pa.list_(NUMBERS),
        "other": pa.string(),
        # its provenance; without one only `phase` is known, see mask_phase
        "phase": pa.string(),
        "round": pa.int32(),
        "annotator": pa.string(),
        "model_sha256": pa.string(),
        "config_sha256": pa.string(),
        "prompts": pa.string(),  # json
        "seconds": pa.float64(),
        "parent_id": pa.int64(),
        "review_state": pa.string(),
        "reviewer": pa.string(),
        "review_iou": pa.float64(),
        # measured: areas and centres (of the box) as shares of the image, see mask_shapes
        "relative_area": pa.float64(),
        "centre_x": pa.float64(),
        "centre_y": pa.float64(),
        "concavity": pa.float64(),
        "runs": pa.int32(),
        "rle_bytes": pa.int32(),
        "prompt_count": pa.int32(),
        "clicks": pa.int32(),
    }
)

_ANNOTATION = ("id", "bbox", "area", "predicted_iou", "stability_score", "crop_box", "point_coords")
_PROVENANCE = (
    "phase", "round", "annotator", "model_sha256", "config_sha256", "seconds", "parent_id",
)  # fmt: skip
_ELSEWHERE = {"segmentation", "provenance"}


def mask_rows(sample: Sample, entry: ShardEntry) -> pa.RecordBatch:
    """The rows of an image's masks. A record that cannot be told in them is an InvalidRecord."""
    try:
        rows = list(_rows(sample, entry))
        return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError) as error:
        raise InvalidRecord(f"A mask of this record cannot be indexed: {error}") from error


def _rows(sample: Sample, entry: ShardEntry) -> Iterator[dict[str, Any]]:
    image, annotations = sample.record["image"], sample.record["annotations"]
    same = {
        "shard": entry.images,
        "source": entry.source,
        "key": sample.key,
        "image_id": image["image_id"],
        "file_name": image["file_name"],
        "image_width": image["width"],
        "image_height": image["height"],
        "masks_in_image": len(annotations),
    }
    shapes = mask_shapes([annotation["segmentation"] for annotation in annotations])
    for place, (annotation, shape) in enumerate(zip(annotations, shapes, strict=True)):
        yield {
            **same,
            "place": place,
            **_recorded(annotation),
            **_made(annotation),
            **_measured(annotation, shape),
        }


def _recorded(annotation: Annotation) -> dict[str, Any]:
    fields = dict[str, Any](annotation)
    known = {name: fields.get(name) for name in _ANNOTATION}
    other = {key: fields[key] for key in fields.keys() - known.keys() - _ELSEWHERE}
    return known | {"other": json.dumps(other, sort_keys=True) if other else None}


def _made(annotation: Annotation) -> dict[str, Any]:
    """The provenance, its prompts counted."""
    provenance = annotation.get("provenance")
    if provenance is None:
        return {"phase": mask_phase(annotation)}
    fields, review = dict[str, Any](provenance), provenance["review"]
    prompts = provenance["prompts"]
    return {
        **{name: fields[name] for name in _PROVENANCE},
        "prompts": json.dumps(prompts),
        "review_state": review["state"],
        "reviewer": review["reviewer"],
        "review_iou": review["iou"],
        "prompt_count": len(prompts),
        "clicks": sum(prompt["type"] == "point" for prompt in prompts),
    }


def _measured(annotation: Annotation, shape: MaskShape) -> dict[str, Any]:
    rle = annotation["segmentation"]
    return {
        "relative_area": shape.area / (rle["size"][0] * rle["size"][1]),
        "centre_x": shape.centre_x,
        "centre_y": shape.centre_y,
        "concavity": shape.concavity,
        "runs": shape.run_count,
        "rle_bytes": len(rle["counts"]),
    }
