"""What changed between two versions: masks added, replaced and removed, by shard and phase."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

from sam_train.data.records import Annotation, mask_phase, usable_record
from sam_train.data.store.bad_samples import pass_over
from sam_train.data.store.manifest import Dataset, ShardEntry
from sam_train.data.store.tar_members import TarMember, tar_members
from tools.dataset_versions.copies import Version
from tools.dataset_versions.shard_jobs import run_shards

Changes = Counter[tuple[str, str]]  # how many masks, by phase and kind of change
KINDS = ("added", "replaced", "removed")


class ShardPair(NamedTuple):
    """A shard as it is in two versions; None where a version does not have it."""

    old: ShardEntry | None
    new: ShardEntry | None

    @property
    def name(self) -> str:
        """The path of its images."""
        entry = self.new or self.old
        assert entry is not None
        return entry.images


def diff(old: Version, new: Version, *, workers: int = 1) -> dict[str, Changes]:
    """The changes of every shard that changed. Masks are the same if key, id and content are."""
    entries = [{entry.images: entry for entry in manifest.shards} for _, manifest in (old, new)]
    pairs = [ShardPair(entries[0].get(n), entries[1].get(n)) for n in entries[0] | entries[1]]
    changed = [pair for pair in pairs if _content(pair.old) != _content(pair.new)]
    work = partial(shard_changes, old.dataset, new.dataset)
    changes = run_shards(work, changed, workers=workers, verb="compared")
    return {pair.name: count for pair, count in zip(changed, changes, strict=True) if count}


def _content(entry: ShardEntry | None) -> object:
    return entry and (entry.images_sha256, entry.annotations_sha256, frozenset(entry.excluded))


def shard_changes(old: Dataset, new: Dataset, pair: ShardPair) -> Changes:
    """Counts the masks of one shard that differ; records of the same bytes are not parsed."""
    changes: Changes = Counter()
    with ExitStack() as files:
        before, after = _Records(old, pair.old, files), _Records(new, pair.new, files)
        for key in before.keys | after.keys:
            texts = before.text(key), after.text(key)
            if texts[0] != texts[1]:
                masks = [masks_by_id(text) for text in texts]
                changes.update(mask_changes(*masks))
    return changes


def masks_by_id(text: bytes) -> dict[int, Annotation]:
    """The masks of a record; those of one that cannot be used count as none."""
    try:
        return {a["id"]: a for a in usable_record(text)["annotations"]} if text else {}
    except ValueError:
        return {}


def mask_changes(
    old: Mapping[int, Annotation], new: Mapping[int, Annotation]
) -> Iterator[tuple[str, str]]:
    """The phase and the kind of each change. A mask that was made from one that is gone, as its
    `parent_id` says, replaces it. A removed mask counts for its old phase, others for the new.
    """
    gone = old.keys() - new.keys()
    replaced: set[Any] = set()
    for id, mask in new.items():
        provenance: Any = mask.get("provenance")
        parent = provenance and provenance.get("parent_id")
        if id in old:
            if mask != old[id]:
                yield mask_phase(mask), "replaced"
        elif parent in gone - replaced:
            replaced.add(parent)
            yield mask_phase(mask), "replaced"
        else:
            yield mask_phase(mask), "added"
    for id in gone - replaced:
        yield mask_phase(old[id]), "removed"


class _Records:
    """The json of every image of a shard in one version, found without reading the images."""

    def __init__(self, dataset: Dataset, entry: ShardEntry | None, files: ExitStack) -> None:
        self._members: dict[str, tuple[Any, TarMember]] = {}
        images: set[str] = set()
        for tar in entry.tars if entry else ():
            path = dataset.root / tar
            file = files.enter_context(path.open("rb"))
            for member in tar_members(path, file, pass_over):
                if member.kind == ".json":
                    self._members[member.key] = (file, member)  # a layer comes last
                else:
                    images.add(member.key)
        self.keys = images & self._members.keys() - set(entry.excluded if entry else ())

    def text(self, key: str) -> bytes:
        if key not in self.keys:
            return b""
        file, member = self._members[key]
        return member.read(file)
