"""Makes, looks after and compares the versions of a dataset.

python -m tools.dataset create DATASET /mnt/SA-1B      # links the tars, nothing is copied
python -m sam_train.train dataset=DATASET
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from sam_train.command_line import one_sentence_errors
from tools.workers import WORKERS


def main() -> None:
    parser = ArgumentParser(
        prog="python -m tools.dataset",
        description="A VERSION is DATASET for its latest version, DATASET@NUMBER or DATASET@TAG; "
        "a dataset behind a URL can be read. An interrupted command goes on when given again.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (run, help, arguments) in COMMANDS.items():
        command = commands.add_parser(name, help=help, description=help)
        command.set_defaults(run=run)
        for argument, settings in arguments.items():
            command.add_argument(argument, **settings)
    options = parser.parse_args()
    with one_sentence_errors(f"dataset {options.command}"):
        print(options.run(options))


def create(options: Namespace) -> str:
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.create import create
    from tools.dataset_versions.listing import summary

    chosen = {name: getattr(options, name) for name in ("source", "phase", "workers")}
    return summary(Dataset(options.dataset), create(options.dataset, options.tars, **chosen))


def list_versions(options: Namespace) -> str:
    from sam_train.data.store.locations import location
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.listing import version_table

    return version_table(Dataset(location(options.dataset)))


def verify(options: Namespace) -> str:
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.verify import verify

    dataset, manifest = read_version(options.version)
    problems = verify(dataset, manifest, hashes=options.hashes, workers=options.workers)
    if problems:
        print("\n".join(problems))
        raise ValueError(f"{len(problems)} of {len(manifest.shards)} shards are not whole.")
    checked = "every byte of" if options.hashes else "the size of"
    return f"version {manifest.version} is whole: {checked} {len(manifest.shards)} shards is right"


def index(options: Namespace) -> str:
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.index import index

    dataset, manifest = read_version(options.version)
    size, built = index(dataset, manifest, workers=options.workers)
    images = sum(entry.image_count for entry in manifest.shards)
    return (
        f"{built} indexes built; all take {size / 1e6:.2f} MB, {size / images:.1f} bytes an image"
    )


def diff(options: Namespace) -> str:
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.diff import diff
    from tools.dataset_versions.listing import change_table

    versions = read_version(options.old), read_version(options.new)
    return change_table(diff(*versions, workers=options.workers))


def pin(options: Namespace) -> str:
    from sam_train.data.store.tags import pin
    from tools.dataset_versions.copies import read_version

    dataset, manifest = read_version(options.version)
    pin(dataset.root, options.tag, manifest.version, move=options.move)
    return f"{dataset.root}@{options.tag} is version {manifest.version}"


def compact(options: Namespace) -> str:
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.compact import compact
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.listing import summary

    manifest = compact(read_version(options.version), options.output, workers=options.workers)
    return summary(Dataset(options.output), manifest)


def merge(options: Namespace) -> str:
    from sam_train.data.store.manifest import Dataset
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.listing import summary
    from tools.dataset_versions.merge import merge

    manifest = merge(
        read_version(options.first),
        read_version(options.second),
        options.output,
        prefer=options.prefer,
        workers=options.workers,
    )
    return summary(Dataset(options.output), manifest)


def quarantine(options: Namespace) -> str:
    from tools.dataset_versions.copies import read_version
    from tools.dataset_versions.quarantine import quarantine

    dataset, old = read_version(options.version)
    new = quarantine(dataset, old, options.bad_samples, workers=options.workers)
    left_out = sum(len(entry.excluded) for entry in new.shards)
    return f"version {new.version} is version {old.version} without {left_out} images"


_PATH: dict[str, Any] = {"type": Path}
_PHASES = ("known", "assisted_manual", "semi_automatic", "fully_automatic")

# The function, what it does, and its arguments.
COMMANDS: dict[str, tuple[Any, str, dict[str, dict[str, Any]]]] = {
    "create": (
        create,
        "make a dataset of tars, linked where they are, or add tars to one",
        {
            "dataset": _PATH,
            "tars": _PATH | {"nargs": "+", "help": "tars, or folders of tars"},
            "--source": {"default": "sa1b", "help": "where the images are from"},
            "--phase": {
                "default": "fully_automatic",
                "choices": _PHASES,
                "help": "by which a mixture weights the shards; masks have their own",
            },
            "--workers": WORKERS,
        },
    ),
    "list": (list_versions, "list the versions and their tags", {"dataset": {}}),
    "verify": (
        verify,
        "check that all tars are there with their sizes",
        {
            "version": {},
            "--hashes": {"action": "store_true", "help": "read every byte, too"},
            "--workers": WORKERS,
        },
    ),
    "index": (
        index,
        "build the indexes of tars that have none",
        {"version": {}, "--workers": WORKERS},
    ),
    "diff": (
        diff,
        "count masks added, replaced and removed, by phase and by shard",
        {"old": {}, "new": {}, "--workers": WORKERS},
    ),
    "pin": (
        pin,
        "give a version a name that stays",
        {
            "version": {},
            "tag": {},
            "--move": {"action": "store_true", "help": "take the name from another version"},
        },
    ),
    "compact": (
        compact,
        "write a version as self-contained SA-1B tars into a new dataset",
        {"version": {}, "output": _PATH, "--workers": WORKERS},
    ),
    "merge": (
        merge,
        "link two versions into a new dataset",
        {
            "first": {},
            "second": {},
            "output": _PATH,
            "--prefer": {"choices": ("first", "second"), "help": "whose masks, where they differ"},
            "--workers": WORKERS,
        },
    ),
    "quarantine": (
        quarantine,
        "make a version without the images that a bad_samples.jsonl lists",
        {"version": {}, "bad_samples": _PATH, "--workers": WORKERS},
    ),
}


if __name__ == "__main__":
    main()
