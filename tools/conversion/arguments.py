"""The command line of `python -m tools.convert`: one subcommand for each format."""

import argparse
from pathlib import Path

from tools.workers import WORKERS

LAYOUTS = ("prefix", "folder", "binary", "components", "label_image")

LAYOUT_HELP = """\
Which mask file belongs to which image, and what is an object in it:
  prefix       KEY.jpg has any number of KEY*.png, one object each
  folder       everything in MASKS/KEY/ is one object each (ROOT/KEY/images, ROOT/KEY/masks: give
               ROOT for both)
  binary       one object in the mask of the image's own name
  components   as binary, but each connected part is an object
  label_image  as binary, but each value except 0 and 255, each palette index or each colour
               except black is an object
"""


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """All subcommands with their options."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.convert",
        description=description,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="FORMAT")
    _add_coco(commands)
    _add_panoptic(commands)
    _add_masks(commands)
    _add_bsds(commands)
    _add_via(commands)
    _add_tools(commands)
    _add_coco_exports(commands)
    _add_label_export(commands)
    _add_tool_exports(commands)
    return parser


# To a dataset


def _add_coco(commands: argparse._SubParsersAction) -> None:
    for name, text in (
        ("coco", "a COCO instances json: polygons, compressed and plain RLE"),
        ("lvis", "an LVIS json; images are found by their name or id"),
    ):
        parser = _converter(commands, name, text)
        _add_path(parser, "--images", "folder of the images")
        _add_path(parser, "--annotations", "the json")
        _add_crowds(parser)


def _add_panoptic(commands: argparse._SubParsersAction) -> None:
    parser = _converter(commands, "panoptic", "a COCO panoptic json with its PNGs")
    _add_path(parser, "--images", "folder of the images")
    _add_path(parser, "--panoptic", "folder of the panoptic PNGs")
    _add_path(parser, "--annotations", "the json")
    _add_crowds(parser)


def _add_masks(commands: argparse._SubParsersAction) -> None:
    parser = _converter(commands, "masks", "masks in image files, laid out in one of five ways")
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, help="folder or folders of the images"
    )
    _add_path(parser, "--masks", "folder of the masks")
    parser.add_argument("--layout", choices=LAYOUTS, required=True, help=LAYOUT_HELP)
    parser.add_argument(
        "--resize-masks", action="store_true", help="fit masks of another size to their image"
    )
    parser.add_argument(
        "--min-area", type=int, default=1, help="leave out objects of fewer pixels (%(default)s)"
    )


def _add_bsds(commands: argparse._SubParsersAction) -> None:
    parser = _converter(commands, "bsds", "BSDS500: every region of the finest annotator")
    _add_path(parser, "--images", "folder of the images")
    _add_path(parser, "--ground-truth", "folder of the .mat files")


def _add_via(commands: argparse._SubParsersAction) -> None:
    text = "a VGG Image Annotator json (VIA 1 and 2): polygons, rectangles, circles, ellipses"
    parser = _converter(commands, "via", text)
    _add_path(parser, "--images", "folder of the images")
    _add_path(parser, "--annotations", "the json: a saved project or exported annotations")


def _add_tools(commands: argparse._SubParsersAction) -> None:
    for name, text in (
        ("label-studio", "the JSON of Label Studio (not JSON-MIN): brush, polygons, ellipses"),
        ("cvat", "the xml of `CVAT for images 1.1`: masks, polygons, ellipses"),
    ):
        parser = _converter(commands, name, text)
        _add_path(parser, "--images", "folder of the images")
        _add_path(parser, "--annotations", "the file that was exported")
        parser.add_argument(
            "--boxes", action="store_true", help="take boxes for masks; left out otherwise"
        )


def _converter(
    commands: argparse._SubParsersAction, name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.RawTextHelpFormatter
    )
    _add_path(parser, "--out", "the dataset: a new folder, or one that gets a version more")
    parser.add_argument(
        "--source", default=name, help="name of the set, in shards and keys (%(default)s)"
    )
    parser.add_argument(
        "--images-per-shard", type=int, default=1000, help="length of a tar (%(default)s)"
    )
    parser.add_argument("--workers", **WORKERS)
    return parser


def _add_path(parser: argparse.ArgumentParser, option: str, text: str) -> None:
    parser.add_argument(option, type=Path, required=True, help=text)


def _add_crowds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--crowds",
        action="store_true",
        help="take regions of a crowd (iscrowd) for masks; they are left out otherwise",
    )


# From a dataset


def _add_coco_exports(commands: argparse._SubParsersAction) -> None:
    for name, style in (("export-coco", "COCO instances"), ("export-lvis", "LVIS-style")):
        parser = _exporter(commands, name, f"a version as {style} json, with masks as RLE")
        _add_image_folder(parser)
        parser.add_argument(
            "--polygons",
            action="store_true",
            help="outlines along the edges of pixels: pycocotools paints the same mask from them,\n"
            "other programs may not; RLE is bit-equal everywhere, and shorter",
        )


def _add_label_export(commands: argparse._SubParsersAction) -> None:
    text = (
        "a version as images and label PNGs (pixel k: the k-th mask of the image, 0: none).\n"
        "Where masks overlap, the smaller lies on top, so overlaps are lost.\n"
        "16 bits a pixel from the 255th mask on, for 255 in 8 bits means void."
    )
    _exporter(commands, "export-labels", text)


def _add_tool_exports(commands: argparse._SubParsersAction) -> None:
    text = "a version as tasks of Label Studio with brush labels, bit-equal"
    parser = _exporter(commands, "export-label-studio", text)
    _add_image_folder(parser)
    parser.add_argument(
        "--url", default="", help="where Label Studio finds the images: /data/local-files/?d=NAME/"
    )
    text = "a version as the xml of `CVAT for images 1.1` with masks, bit-equal"
    _add_image_folder(_exporter(commands, "export-cvat", text))


def _add_image_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, help="also write the images to this folder")


def _exporter(
    commands: argparse._SubParsersAction, name: str, text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("dataset", help="the dataset")
    _add_path(parser, "--out", "the json or xml, or the folder of the label PNGs")
    parser.add_argument("--version", default="latest", help="its version (%(default)s)")
    return parser
