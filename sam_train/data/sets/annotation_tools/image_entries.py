"""Which entry of an export is about which image file."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from sam_train.data.sets.known_masks import report_orphans
from sam_train.data.store.bad_samples import OnBad

Entry = TypeVar("Entry")


def image_entries(
    found: Iterable[tuple[Path, Entry]], root: Path, *, name: str, noun: str, on_bad: OnBad | None
) -> dict[Path, Entry]:
    """The entry of each image; `on_bad` is told of those whose image is missing or has another.

    `noun` is what the tool calls an entry. Where no image is there, the folder is the wrong one.
    """
    entries: dict[Path, Entry] = {}
    orphans: dict[str, str] = {}
    for number, (file, entry) in enumerate(found):
        if not file.is_file():
            orphans[f"{noun} {number}"] = f"{root} holds no image {file.relative_to(root)}"
        elif file in entries:
            orphans[f"{noun} {number}"] = f"another {noun} is of {file} already"
        else:
            entries[file] = entry
    if not entries:
        raise FileNotFoundError(
            f"{name}: {root} holds no image of its annotations; set `images` to theirs"
        )
    report_orphans(orphans, on_bad, name=name)
    return entries
