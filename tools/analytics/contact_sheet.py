"""Images of one or two versions with their masks in colours, side by side."""

from collections.abc import Sequence
from typing import Any

from data_engine.report import automatic_picture
from sam_train.data.records import BadSample
from sam_train.data.store.manifest import Dataset, ShardEntry
from tools.analytics.indexed_version import IndexedVersion


def contact_sheet(versions: Sequence[IndexedVersion], count: int) -> list[dict[str, Any]]:
    """Draws `count` images of the last version, each as all versions have it.

    Beside another version only shards count that changed, unless none did. An image is
    `{"key", "pictures": [{"version", "masks", "file"}]}`, the files as text for the page. A
    version that lacks the image has no picture of it.
    """
    shards = [entry.images for entry in changed_shards(versions)]
    return [
        {
            "key": drawn["key"],
            "pictures": [
                picture for version in versions if (picture := _picture(version, **drawn))
            ],
        }
        for drawn in versions[-1].drawn_images(shards, count)
    ]


def changed_shards(versions: Sequence[IndexedVersion]) -> Sequence[ShardEntry]:
    """The shards of the last version that another has not, or not so; all if there are none."""
    *others, last = (version.manifest.shards for version in versions)
    changed = [entry for entry in last if any(entry not in other for other in others)]
    return changed or last


def _picture(version: IndexedVersion, *, shard: str, key: str) -> dict[str, Any] | None:
    entry = next((entry for entry in version.manifest.shards if entry.images == shard), None)
    if entry is None:
        return None
    try:
        sample = Dataset(version.root).indexed(entry)[key]
        masks = [annotation["segmentation"] for annotation in sample.record["annotations"]]
        return {
            "version": version.name,
            "masks": len(masks),
            "file": automatic_picture(sample, masks),
        }
    except (BadSample, KeyError):  # one picture fewer; the index lists what is wrong
        return None
