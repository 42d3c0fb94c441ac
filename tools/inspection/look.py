"""One pass over the records of a shard or a dataset version."""

import hashlib
import heapq
import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import Image

from sam_train.data.images import encode_jpeg
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.durable import durable_file
from sam_train.data.store.locations import Location, location
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import IndexedShard
from tools.inspection.contact_sheet import Picture, in_rows, overlay, tile
from tools.inspection.holdings import Holdings

Say = Callable[[str], None]


def look(
    path: str | Location,
    *,
    version: str = "latest",
    sheet: Path | None = None,
    overlays: Path | None = None,
    images: int = 24,
    columns: int = 6,
    say: Say = print,
) -> None:
    """Says what a tar or a dataset version holds and draws some of its images, if that is asked.

    They go on one sheet, or each into a folder. The images are drawn by the hash of their key.
    Samples that cannot be used are named.
    """

    said = set[str]()

    def on_bad(shard: str, key: str, error: Exception) -> None:
        if (name := key or shard) not in said:
            say(f"bad         {name}: {error}")
        said.add(name)

    holdings = Holdings()
    passing = counted(opened(location(path), version, say, on_bad), holdings, on_bad)
    drawn = heapq.nsmallest(images, passing, key=lambda one: _draw(one[0]))
    for line in holdings.lines():
        say(line)
    if not holdings.masks_per_image:
        raise ValueError(f"{path} holds no image with a record: name SA-1B's tars or a dataset")
    if overlays is not None:
        count = write_overlays(drawn, overlays.expanduser(), on_bad)
        say(f"overlays    {overlays}, {count} images")
    if sheet is None:
        return
    tiles = list(tiles_of(drawn, on_bad))
    if not tiles:
        raise ValueError(f"{path} holds no image that can be drawn")
    write_png(sheet.expanduser(), in_rows(tiles, columns))
    say(f"sheet       {sheet}, {len(tiles)} images")


def opened(path: Location, version: str, say: Say, on_bad: OnBad) -> Iterator[IndexedShard]:
    """The shards of a dataset version, or the one tar, one after the other."""
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: name a dataset or a tar")
    if path.is_file():
        say(f"shard       {path}")
        yield IndexedShard(path, on_bad=on_bad)
        return
    dataset = Dataset(path)
    manifest = dataset.read(version)
    say(f"dataset     {path}, version {manifest.version}, {len(manifest.shards)} shards")
    for source in sorted({entry.source for entry in manifest.shards}):
        count = sum(entry.image_count for entry in manifest.shards if entry.source == source)
        say(f"source      {source}: {count:,} images")
    for entry in manifest.shards:
        yield dataset.indexed(entry, on_bad=on_bad)


def counted(
    shards: Iterable[IndexedShard], holdings: Holdings, on_bad: OnBad
) -> Iterator[tuple[str, IndexedShard]]:
    """The key and the shard of each image, counted as it passes by."""
    for shard in shards:
        for key in shard.keys:
            try:
                holdings.add(shard.record(key))
            except ValueError as error:
                on_bad("", key, error)
            else:
                yield key, shard


def tiles_of(drawn: Iterable[tuple[str, IndexedShard]], on_bad: OnBad) -> Iterator[Picture]:
    """The pictures of the sheet, in the order of their keys."""
    for key, shard in sorted(drawn, key=lambda one: one[0]):
        try:
            yield tile(shard[key])
        except ValueError as error:
            on_bad("", key, error)


def write_overlays(drawn: Iterable[tuple[str, IndexedShard]], folder: Path, on_bad: OnBad) -> int:
    """Writes FOLDER/KEY.jpg, the image with its masks in colours; returns how many."""
    count = 0
    for key, shard in drawn:
        try:
            picture = overlay(shard[key])
        except ValueError as error:
            on_bad("", key, error)
            continue
        with durable_file(folder / f"{key}.jpg") as file:
            file.write(encode_jpeg(picture))
        count += 1
    return count


def write_png(path: Path, picture: Picture) -> None:
    """Writes a whole PNG or none."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    with durable_file(path) as file:
        file.write(buffer.getvalue())


def _draw(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
