"""Makes a dataset of published tars where they are: links, indexes, then a version."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sam_train.data.store.bad_samples import BadSampleLog, OnBad
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.data.store.shard_index import ensure_index, index_path
from tools.dataset_versions.shard_jobs import run_shards


def create(
    root: Path, inputs: Sequence[Path], *, source: str, phase: str, workers: int = 1
) -> Manifest:
    """Links tars (files, or folders of them) into a dataset and commits the next version.

    Shards of the latest version stay as they are, so that tars may arrive over days; to call
    one by another source or phase is a ValueError. Samples
    that cannot be used are listed in `root/bad_samples.jsonl`. A tar that was indexed before an
    interruption is not read again.
    """
    dataset = Dataset(root)
    old = dataset.read() if dataset.versions() else None
    shards = old.shards if old is not None else ()
    known = {root / entry.images: entry for entry in shards}
    found = link_tars(root / "images", find_tars(inputs))
    links = [link for link in found if link not in known]
    _require_same([known[link] for link in found if link in known], source=source, phase=phase)
    if old is not None and not links:
        return old

    bad = BadSampleLog(root / "bad_samples.jsonl")
    damages = run_shards(partial(_index, on_bad=bad), links, workers=workers, verb="read")
    entries = [dataset.entry(link, source=source, phase=phase) for link in links]
    _require_images(links, entries, damages)
    parent = old.version if old is not None else None
    return dataset.commit([*shards, *entries], parent=parent, phase=phase, round=0)


def _require_same(shards: Sequence[ShardEntry], *, source: str, phase: str) -> None:
    """What a shard was called stays; the engine may have given it a later phase by a layer."""
    for entry in shards:
        was = (entry.source, phase if entry.annotations else entry.phase)
        if was != (source, phase):
            raise ValueError(
                f"{entry.images} is in the dataset with source {was[0]} and phase {was[1]}, not "
                f"{source} and {phase}: give those, or make another dataset of it."
            )


def _index(tar: Path, on_bad: OnBad) -> str:
    """Indexes a tar and returns what is wrong with it as a whole."""
    damages: list[str] = []

    def note(shard: str, key: str, error: Exception) -> None:
        on_bad(shard, key, error)
        if not key:
            damages.append(str(error))

    ensure_index(tar, note)
    return " ".join(damages)


def _require_images(
    links: Sequence[Path], entries: Sequence[ShardEntry], damages: Sequence[str]
) -> None:
    empty = [place for place, entry in enumerate(entries) if entry.image_count == 0]
    if not empty:
        return
    for place in empty:
        index_path(links[place]).unlink()  # so that it is looked at again
    reason = damages[empty[0]] or "It has no image."
    raise ValueError(
        f"{len(empty)} of {len(entries)} tars are of no use, {links[empty[0]]} for one: {reason} "
        f"Mend them or leave them out."
    )


def find_tars(inputs: Sequence[Path]) -> list[Path]:
    """The tars that were named, and those in the folders that were named, each once."""
    tars: dict[Path, None] = {}
    for path in inputs:
        found = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        missing = [tar for tar in found if not tar.is_file()]
        if missing or not found:
            raise FileNotFoundError(f"{path} is no tar and no folder of tars: name SA-1B's files.")
        tars.update(dict.fromkeys(tar.resolve() for tar in found))
    return list(tars)


def link_tars(folder: Path, tars: Sequence[Path]) -> list[Path]:
    """Links each tar into the folder under its own name, which must be free or its link already."""
    name, count = Counter(tar.name for tar in tars).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} of the tars are called {name}: rename all but one of them.")
    folder.mkdir(parents=True, exist_ok=True)
    return [link_tar(folder / tar.name, tar) for tar in tars]


def link_tar(link: Path, tar: Path) -> Path:
    """Makes `link` stand for the tar; another file of that name is an error."""
    if not link.is_symlink() and not link.exists():
        link.symlink_to(tar.resolve())
    if link.resolve() != tar.resolve():
        raise ValueError(f"{link} is another file than {tar}: rename the tar.")
    return link
