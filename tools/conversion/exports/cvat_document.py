"""A dataset version as the xml of CVAT for images 1.1, with masks."""

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from sam_train.data.records import Annotation, Sample
from sam_train.data.rle import decode_rle, rle_box
from sam_train.data.store.durable import durable_file
from tools.conversion.exports.image_files import write_image

HEAD = """\
<?xml version="1.0" encoding="utf-8"?>
<annotations>
<version>1.1</version>
<meta><task><labels><label><name>object</name><type>mask</type><attributes></attributes></label>\
</labels></task></meta>
"""


def export_cvat(samples: Iterable[Sample], out: Path, *, images: Path | None = None) -> str:
    """Writes the xml, and the image files if there is a folder for them; tells what is in it.

    Images are named KEY.jpg, as CVAT must know them when it imports the xml into a task with a
    label `object`. Masks are bit-equal to the version's.
    """
    count = masks = 0
    with durable_file(out) as file:
        file.write(HEAD.encode())
        for sample in samples:
            info = sample.record["image"]
            shapes = [mask_element(annotation) for annotation in sample.record["annotations"]]
            name, size = quoteattr(f"{sample.key}.jpg"), (info["width"], info["height"])
            head = f'<image id="{count}" name={name} width="{size[0]}" height="{size[1]}">\n'
            file.write((head + "".join(shapes) + "</image>\n").encode())
            count, masks = count + 1, masks + len(shapes)
            write_image(sample, images)
        file.write(b"</annotations>\n")
    return f"{out}: {count:,} images, {masks:,} masks"


def mask_element(annotation: Annotation) -> str:
    """A mask as run lengths in rows of the box around it, background first."""
    left, top, right, bottom = rle_box(annotation["segmentation"]).astype(int).tolist()
    window = decode_rle(annotation["segmentation"])[top:bottom, left:right].ravel()
    edges = np.flatnonzero(np.diff(window.astype(np.int8), prepend=0)).tolist()
    runs = np.diff(edges, prepend=0, append=window.size).tolist()
    place = f'left="{left}" top="{top}" width="{right - left}" height="{bottom - top}"'
    return (
        f'  <mask label="object" source="auto" occluded="0" z_order="0" {place} '
        f'rle="{", ".join(map(str, runs))}"></mask>\n'
    )
