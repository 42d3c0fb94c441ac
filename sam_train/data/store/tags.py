"""Tags: names for versions of a dataset, as small files that are not moved by accident."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from sam_train.data.store.durable import durable_file, file_sha256
from sam_train.data.store.locations import Location


def manifest_path(root: Location, version: int) -> Location:
    """The file of a version, which a tag names by its content too."""
    return root / "manifests" / f"{version:06d}.json"


def pin(root: Path, name: str, version: int, *, move: bool = False) -> None:
    """Gives a version a name. A name that is taken is an error unless it is to `move`."""
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII) or name == "latest":
        raise ValueError(
            f"{name!r} is no name for a version: begin with a letter, like `paper-v1`."
        )
    content = {
        "version": version,
        "manifest_sha256": file_sha256(manifest_path(root, version)),
        "pinned": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    try:
        with durable_file(_tag_path(root, name), replace=move) as file:
            file.write(json.dumps(content, indent=1).encode())
    except FileExistsError as error:
        if tagged_version(root, name) != version:
            raise ValueError(
                f"{name} is version {tagged_version(root, name)} of {root} already: choose another "
                f"name, or move it with --move."
            ) from error


def tagged_version(root: Location, name: str) -> int:
    """The number of the version that a tag names; its manifest must still be the same."""
    path = _tag_path(root, name)
    if not path.is_file():
        raise FileNotFoundError(
            f"{root} has no version {name!r}: name a number, `latest` or one of {list(tags(root))}."
        )
    try:
        content = json.loads(path.read_bytes())
        version, sha256 = int(content["version"]), content["manifest_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is no tag ({error}): pin the version again.") from error
    manifest = manifest_path(root, version)
    if not manifest.is_file() or file_sha256(manifest) != sha256:
        raise ValueError(f"{name} was pinned to another version {version} of {root}: restore it.")
    return version


def tags(root: Location) -> dict[str, int]:
    """All tags and the versions that they name."""
    names = sorted(path.stem for path in (root / "tags").glob("*.json"))
    return {name: tagged_version(root, name) for name in names}


def _tag_path(root: Location, name: str) -> Location:
    return root / "tags" / f"{name}.json"
