"""Annotated images of other formats become a version of a dataset, and a version becomes theirs.

    python -m tools.convert coco --images PHOTOS --annotations instances.json --out DATASET
    python -m tools.convert export-coco DATASET --out instances.json --images PHOTOS

Masks have no category here: it is dropped on the way in and is 1, `object`, on the way out.
SA-V is not read: its json has the masks of a video's frames, which lie in an mp4. Save the frames
as images and their masks as label images, and convert those with `masks --layout label_image`.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_train.command_line import one_sentence_errors
from tools.conversion.arguments import build_parser

if TYPE_CHECKING:
    from sam_train.data.records import Sample

EXPORTS = {"export-coco", "export-lvis", "export-labels", "export-label-studio", "export-cvat"}


def main(arguments: list[str] | None = None) -> None:
    """Runs one subcommand."""
    parsed = build_parser(__doc__).parse_args(arguments)
    with one_sentence_errors("convert"):
        if parsed.command in EXPORTS:
            export(parsed)
        else:
            to_dataset(parsed)


def to_dataset(parsed: argparse.Namespace) -> None:
    """Converts one set and says what the new version holds."""
    from sam_train.data.store.manifest import Dataset
    from tools.conversion.formats import build_set
    from tools.conversion.shard_plan import CountedBadSamples
    from tools.conversion.to_shards import convert, count

    dataset = Dataset(parsed.out.expanduser())
    on_bad = CountedBadSamples(dataset.root / "bad_samples.jsonl")
    conversion = convert(
        build_set(parsed, on_bad),
        dataset,
        settings=settings_of(parsed),
        on_bad=on_bad,
        images_per_shard=parsed.images_per_shard,
        workers=parsed.workers,
    )
    version, entries = conversion.manifest.version, conversion.entries
    print(f"{dataset.root} version {version}: {count(entries)} of {parsed.source} were added")
    print_bad(conversion.bad, on_bad.path)


def settings_of(parsed: argparse.Namespace) -> dict[str, Any]:
    """How the set is made, and from which bytes: what was mended meanwhile is not the same."""
    from sam_train.data.store.durable import file_sha256
    from tools.conversion.formats import set_arguments

    arguments = set_arguments(parsed)
    files = {name: file_sha256(path) for name, path in arguments.items() if is_file(path)}
    return arguments | {"format": parsed.command, "files": files}


def is_file(value: Any) -> bool:
    return isinstance(value, Path) and value.is_file()


def export(parsed: argparse.Namespace) -> None:
    """Writes one version in another format and says what that cost."""
    from sam_train.data.store.locations import location
    from tools.conversion.exports.dataset_samples import dataset_samples
    from tools.conversion.shard_plan import CountedBadSamples

    out = parsed.out.expanduser()
    on_bad = CountedBadSamples(out.with_name(f"{out.name}.bad_samples.jsonl"))
    samples = dataset_samples(location(parsed.dataset), parsed.version, on_bad)
    print(write_export(samples, out, parsed))
    print_bad(on_bad.counts, on_bad.path)


def write_export(samples: "Iterator[Sample]", out: Path, parsed: argparse.Namespace) -> str:
    """Writes samples in the format of the subcommand and returns what to say of it."""
    if parsed.command == "export-labels":
        from tools.conversion.exports.label_images import export_labels

        return export_labels(samples, out)
    if parsed.command == "export-label-studio":
        from tools.conversion.exports.label_studio_tasks import export_label_studio

        return export_label_studio(samples, out, url=parsed.url, images=parsed.images)
    if parsed.command == "export-cvat":
        from tools.conversion.exports.cvat_document import export_cvat

        return export_cvat(samples, out, images=parsed.images)
    from tools.conversion.exports.coco_document import export_coco

    style = parsed.command.removeprefix("export-")
    return export_coco(samples, out, style=style, polygons=parsed.polygons, images=parsed.images)


def print_bad(bad: dict[str, int], listed_in: Path) -> None:
    """Says how much was left out, and why."""
    if bad:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(bad.items()))
        print(f"left out: {kinds}, listed in {listed_in}")


if __name__ == "__main__":
    main()
