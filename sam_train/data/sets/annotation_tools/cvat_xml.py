"""The xml of CVAT for images 1.1: images, and the shapes drawn on each.

Format: https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

SHAPES = {"mask", "polygon", "ellipse", "box", "polyline", "points", "cuboid", "skeleton"}

Shape = dict[str, str]  # the attributes of an element, and `shape`, its name


@dataclass(frozen=True)
class CvatImage:
    """An image of the xml with its shapes."""

    attributes: dict[str, str]
    shapes: list[Shape] = field(default_factory=list)


class CvatXml:
    """Reads the xml as a stream. A document type, with which entities come, is refused."""

    def __init__(self, path: Path) -> None:
        self.images: list[CvatImage] = []
        self.labels: set[str] = set()  # of the project; empty if the file lists none
        self._path: list[str] = []
        self._text = ""
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = refuse_document_type
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add_text
        try:
            with path.open("rb") as file:
                parser.ParseFile(file)
        except expat.ExpatError as error:
            raise ValueError(f"{path} is no xml that can be read: {error}") from error
        if self._root != "annotations":
            raise ValueError(f"{path} is no xml of CVAT, it begins with <{self._root}>")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            self._root = name
        inside = self._path[-1] if self._path else None
        if name == "image" and inside == "annotations":
            self.images.append(CvatImage(attributes))
        elif name in SHAPES and inside == "image":
            self.images[-1].shapes.append(attributes | {"shape": name})
        self._path.append(name)
        self._text = ""

    def _end(self, name: str) -> None:
        if self._path[-3:] == ["labels", "label", "name"]:
            self.labels.add(self._text.strip())
        self._path.pop()

    def _add_text(self, text: str) -> None:
        self._text += text


def refuse_document_type(*_: object) -> None:
    raise ValueError("it has a document type (<!DOCTYPE>), which no export of CVAT has")
