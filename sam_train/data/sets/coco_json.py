"""The json of a COCO set: what it must hold, and which of its entries refer to nothing."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sam_train.data.records import BadSample
from sam_train.data.sets.image_folder import require_file
from sam_train.data.sets.known_masks import report_left_out
from sam_train.data.store.bad_samples import OnBad


class UnknownCategory(BadSample):
    """A mask of a category that its json does not list. It is left out."""


@dataclass(frozen=True)
class CocoJson:
    """The entries of a COCO json. Without `categories`, any category is taken for known."""

    path: Path
    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: frozenset[int]

    def orphans(self) -> dict[str, str]:
        """The annotations whose image the json lacks, each with a sentence."""
        known = {image["id"] for image in self.images}
        return {
            f"annotation {annotation.get('id', number)}": (
                f"an annotation of {self.path} is of image {annotation['image_id']}, "
                f"which the json does not list"
            )
            for number, annotation in enumerate(self.annotations)
            if annotation["image_id"] not in known
        }

    def with_known_category(
        self, annotations: Iterable[dict[str, Any]], image: Path, on_bad: OnBad | None
    ) -> Iterator[dict[str, Any]]:
        """The annotations of an image without those whose category the json does not list.

        Masks have no category here, but such a json was put together wrongly: `on_bad` is told.
        """
        for annotation in annotations:
            category = annotation.get("category_id")
            listed = isinstance(category, int | str) and category in self.categories
            if not self.categories or category is None or listed:
                yield annotation
            else:
                error = UnknownCategory(
                    f"category {category} of a mask of {image} is not listed in {self.path.name}; "
                    f"the mask is left out"
                )
                report_left_out(str(image), f"mask {annotation.get('id')}", error, on_bad)


def read_coco(file: str | os.PathLike[str], *, name: str) -> CocoJson:
    """The parsed json. A file that is no COCO json is a ValueError."""
    path = require_file(file, option="annotations", name=name)
    try:
        coco = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: {path} is no json: {error}") from error
    if not isinstance(coco, dict) or not {"images", "annotations"} <= coco.keys():
        raise ValueError(f"{name}: {path} is no COCO json, it lacks `images` or `annotations`")

    for entries, key in (("images", "id"), ("annotations", "image_id"), ("categories", "id")):
        listed = coco.setdefault(entries, [])
        if not isinstance(listed, list) or not all(_has_id(entry, key) for entry in listed):
            raise ValueError(f"{name}: {path} is no COCO json, some of its {entries} lack `{key}`")
    ids = [image["id"] for image in coco["images"]]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{name}: {path} gives two images the same `id`; mend it")
    categories = frozenset(category["id"] for category in coco["categories"])
    return CocoJson(path, coco["images"], coco["annotations"], categories)


def _has_id(entry: object, key: str) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get(key), int | str)
