"""A dataset version as the tasks of Label Studio, with brush labels."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sam_train.data.records import Annotation, Sample
from sam_train.data.rle import decode_rle
from sam_train.data.sets.annotation_tools.label_studio_rle import pack_brush
from sam_train.data.store.durable import durable_file
from tools.conversion.exports.image_files import write_image

LABELING_CONFIG = """\
<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="object"/></BrushLabels>
</View>
"""  # of a Label Studio project that can show the tasks


def export_label_studio(
    samples: Iterable[Sample], out: Path, *, url: str = "", images: Path | None = None
) -> str:
    """Writes the json, and the image files if there is a folder for them; tells what is in it.

    Label Studio looks for the image at `url` + KEY.jpg. Masks are bit-equal to the version's.
    """
    tasks = masks = 0
    with durable_file(out) as file:
        file.write(b"[")
        for sample in samples:
            regions = [region(annotation) for annotation in sample.record["annotations"]]
            task = {
                "id": (tasks := tasks + 1),
                "data": {"image": f"{url}{sample.key}.jpg"},
                "annotations": [{"result": regions}],
            }
            masks += len(regions)
            file.write((b",\n" if tasks > 1 else b"\n") + json.dumps(task).encode())
            write_image(sample, images)
        file.write(b"\n]")
    return f"{out}: {tasks:,} images, {masks:,} masks; a project for them needs\n{LABELING_CONFIG}"


def region(annotation: Annotation) -> dict[str, Any]:
    """A mask as an entry of a task's `result`."""
    height, width = annotation["segmentation"]["size"]
    rle = pack_brush(decode_rle(annotation["segmentation"]))
    return {
        "id": f"mask-{annotation['id']}",
        "type": "brushlabels",
        "from_name": "brush",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": ["object"]},
    }
