"""What a shard or a dataset version holds: figures, and a contact sheet with coloured masks.

python -m tools.inspect SHARD_OR_DATASET --out sheet.png
python -m tools.inspect SHARD_OR_DATASET --images 100 --overlays FOLDER    # at their full size
"""

import argparse
from pathlib import Path

from sam_train.command_line import one_sentence_errors


def main(arguments: list[str] | None = None) -> None:
    """Prints the figures and writes the sheet."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.inspect",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("path", help="a dataset, or a tar of KEY.jpg and KEY.json (SA-1B's)")
    parser.add_argument("--version", default="latest", help="of a dataset (%(default)s)")
    parser.add_argument("--out", type=Path, help="the sheet, a PNG; without it, figures only")
    parser.add_argument("--overlays", type=Path, help="a folder for its images, one by one")
    parser.add_argument("--images", type=int, default=24, help="on the sheet (%(default)s)")
    parser.add_argument("--columns", type=int, default=6, help="of the sheet (%(default)s)")
    parsed = parser.parse_args(arguments)
    with one_sentence_errors("inspect"):
        from tools.inspection.look import look

        if parsed.images < 1 or parsed.columns < 1:
            raise ValueError("a sheet needs at least one image and one column")
        look(
            parsed.path,
            version=parsed.version,
            sheet=parsed.out,
            overlays=parsed.overlays,
            images=parsed.images,
            columns=parsed.columns,
        )


if __name__ == "__main__":
    main()
