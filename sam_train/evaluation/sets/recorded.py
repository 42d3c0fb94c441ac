"""A dataset version with the prompts that its annotators made, for the replay protocol."""

from collections.abc import Iterator
from functools import partial

from sam_train.data.records import Prompt
from sam_train.data.rle import rle_area
from sam_train.data.sets.labeled_image import LabeledImage
from sam_train.data.sets.shard_set import shard_image
from sam_train.data.store.locations import location
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import IndexedShard
from sam_train.evaluation.sets.annotated_image import AnnotatedImage


class RecordedSet:
    """The images of a dataset version whose masks carry `provenance.prompts`."""

    def __init__(self, name: str, dataset: str, *, version: int | str = "latest") -> None:
        self.name = name
        versions = Dataset(location(dataset))
        self._images: list[LabeledImage] = []
        for entry in versions.read(version).shards:
            shard = versions.indexed(entry)
            for key in shard.keys:
                image = shard_image(shard, key)
                clicks = partial(recorded_clicks, shard, key)
                self._images.append(
                    AnnotatedImage(image.key, image.load, image.masks, image.encoded, clicks=clicks)
                )

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[LabeledImage]:
        return iter(self._images)


def recorded_clicks(shard: IndexedShard, key: str) -> list[list[Prompt]]:
    """The prompts of each mask that is not empty, in order; none where nothing was recorded."""
    return [
        annotation["provenance"]["prompts"] if "provenance" in annotation else []
        for annotation in shard[key].record["annotations"]
        if rle_area(annotation["segmentation"]) > 0
    ]
