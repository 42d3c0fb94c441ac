"""Writes the datasheet of a dataset version: one HTML page that stands alone.

python -m tools.datasheet DATASET --out sheet.html
python -m tools.datasheet DATASET --version 3 --compare 2 --out sheet.html
"""

import shlex
import sys
from pathlib import Path

from sam_train.command_line import one_sentence_errors
from sam_train.data.store.locations import Location
from tools.mask_index import version_parser


def main() -> None:
    parser = version_parser(
        "datasheet",
        description="Writes what a dataset version holds as one HTML page: how many masks, of "
        "which sizes, where, how good, by whom, and what they look like.",
        out="the page",
    )
    parser.add_argument("--compare", metavar="VERSION", help="another, side by side")
    parser.add_argument(
        "--index", type=Path, help="where mask indexes are kept, default: the page's name.masks"
    )
    parser.add_argument("--pictures", type=int, default=12, help="images to show (%(default)s)")
    with one_sentence_errors("datasheet"):
        options = parser.parse_args()
        command = shlex.join(["python", "-m", "tools.datasheet", *sys.argv[1:]])
        settings = vars(options)
        write_datasheet(settings.pop("dataset"), **settings, command=command)
        print(settings["out"])


def write_datasheet(
    root: Location,
    *,
    out: Path,
    version: str = "latest",
    compare: str | None = None,
    index: Path | None = None,
    pictures: int = 12,
    workers: int = 1,
    command: str,
) -> None:
    """Indexes the masks of the versions where that is not done yet, and writes the page."""
    from sam_train.data.store.bad_samples import BadSampleLog
    from sam_train.data.store.durable import durable_file
    from sam_train.data.store.manifest import Dataset
    from tools.analytics.datasheet import datasheet_page
    from tools.analytics.indexed_version import IndexedVersion
    from tools.analytics.mask_index import write_mask_index

    dataset = Dataset(root)
    versions = []
    for name in [version] if compare is None else [compare, version]:
        manifest = dataset.read(name)
        folder = (index or out.with_suffix(".masks")) / f"{manifest.version:06d}"
        bad = BadSampleLog(folder / "bad_samples.jsonl")
        files = write_mask_index(dataset, manifest, folder, workers=workers, on_bad=bad)
        versions.append(IndexedVersion(root, manifest, files))
    page = datasheet_page(versions, command=command, pictures=pictures)
    with durable_file(out) as file:
        file.write(page.encode())


if __name__ == "__main__":
    main()
