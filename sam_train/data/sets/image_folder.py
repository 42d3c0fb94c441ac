"""Images in files below a folder: how they are found and named, and a set of them without masks."""

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path

from sam_train.data.images import read_image
from sam_train.data.records import Rle
from sam_train.data.sets.labeled_image import ImageList, LabeledImage

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"}
MAX_KEY_LENGTH = 100


class ImageFolder(ImageList):
    """All images below a folder, without masks."""

    def __init__(
        self, name: str, path: str | os.PathLike[str], *, skip: Collection[str] = ()
    ) -> None:
        files = find_images(path, option="path", name=name)
        keys = file_keys(files, Path(path).expanduser())
        super().__init__(name, map(image_of_file, keys, keys.values()), skip=skip)


def no_masks() -> list[Rle]:
    """The masks of an image that nobody has annotated yet."""
    return []


def image_of_file(key: str, file: Path, masks: Callable[[], list[Rle]] = no_masks) -> LabeledImage:
    """The image in a file."""
    return LabeledImage(key, partial(read_image, file), masks, encoded=file.read_bytes)


def find_images(folder: str | os.PathLike[str], *, option: str, name: str) -> list[Path]:
    """All image files below the folder, sorted, without hidden ones; links are followed.

    A folder that is missing or holds no image is an error that names `option`, the key of the
    set's config that gave it.
    """
    root = require_folder(folder, option=option, name=name)
    files = sorted(
        place / file
        for place, names in folders_below(root)
        for file in names
        if Path(file).suffix.lower() in IMAGE_SUFFIXES
        and not file.startswith(".")
        and (place / file).is_file()
    )
    if not files:
        raise ValueError(f"{name}: {root} holds no image; set `{option}` to a folder of images")
    return files


def folders_below(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """The folder and all below it with their files' names, without hidden ones.

    A folder that links lead to several times, or that holds a link to itself, comes once; links
    come last, so that a folder that is below the root itself keeps its own name.
    """
    waiting, seen = deque([root]), set[str]()
    while waiting:
        for place, folders, names in os.walk(waiting.popleft()):
            if (real := os.path.realpath(place)) in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
            below = [Path(place, folder) for folder in folders]
            waiting.extend(folder for folder in below if folder.is_symlink())
            yield Path(place), names


def require_folder(folder: str | os.PathLike[str], *, option: str, name: str) -> Path:
    """The folder as a path; one that is not there is an error that names the config key."""
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"{name}: there is no folder {root}; set `{option}` to one")
    return root


def require_file(file: str | os.PathLike[str], *, option: str, name: str) -> Path:
    """The file as a path; one that is not there is an error that names the config key."""
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{name}: there is no file {path}; set `{option}` to one")
    return path


def file_below(root: Path, name: str) -> Path:
    """The file of this name below root; ValueError if the name leads elsewhere."""
    file = root / name
    if ".." in file.parts or not file.is_relative_to(root) or "\0" in name:
        raise ValueError(f"the annotations name {file}, which is not below {root}; mend the name")
    return file


def safe_key(name: str) -> str:
    """The name with only letters, digits, `_` and `-`: no dot, which ends a key in a tar."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")


def file_keys(files: Iterable[Path], root: Path) -> dict[str, Path]:
    """A unique key for every file, from its path below root.

    `a/b.jpg` is `a-b`. Where that is taken, empty or too long, a hash of the path is added.
    """
    keys: dict[str, Path] = {}
    for file in files:
        path = file.relative_to(root)
        key = safe_key(path.with_suffix("").as_posix())
        if not key or len(key) > MAX_KEY_LENGTH or key in keys:
            digest = hashlib.sha256(path.as_posix().encode()).hexdigest()[:8]
            key = f"{key[: MAX_KEY_LENGTH - 9]}-{digest}".lstrip("-")
        keys[key] = file
    return keys
