"""Where data is read from: this machine, or anything that fsspec reaches by a URL."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from pathlib_abc import ReadablePath

if TYPE_CHECKING:  # a UPath has Path's methods without being one
    Location: TypeAlias = Path
else:
    Location: TypeAlias = Path | ReadablePath


def location(name: str | Location) -> Location:
    """The path of a file or folder, or of a URL such as `s3://bucket/folder`.

    A URL can only be read. Most kinds need a package of their own: ValueError names it.
    """
    if isinstance(name, str) and "://" in name:
        from upath import UPath  # takes half a second; most data is local

        try:
            UPath(name).fs  # noqa: B018 (finds out whether there is a package for it)
        except (ImportError, ValueError) as error:
            raise ValueError(f"{name} cannot be read: {error}.") from error
        return cast(Location, UPath(name))
    return Path(name).expanduser() if isinstance(name, str | Path) else name


def read_range(path: Location, offset: int, size: int) -> bytes:
    """Bytes out of the middle of a file; from a URL no more than these are fetched."""
    if isinstance(path, Path):
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
    return path.fs.cat_file(path.path, start=offset, end=offset + size)
