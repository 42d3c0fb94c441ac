from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_train.data.rle import decode_rle
from sam_train.data.sets.annotation_tools.cvat_set import CvatSet
from sam_train.data.sets.coco_json import UnknownCategory
from sam_train.data.sets.known_masks import OrphanMask, UnusableMask

HEIGHT, WIDTH = 20, 40
BLOCK = np.zeros((HEIGHT, WIDTH), bool)
BLOCK[5:10, 10:20] = True
POLYGON = '<polygon label="cat" points="10.0,5.0;20.0,5.0;20.0,10.0;10.0,10.0"></polygon>'
BOX = '<box label="cat" xtl="10" ytl="5" xbr="20" ybr="10"></box>'
META = "<meta><task><labels><label><name>cat</name></label></labels></task></meta>"


def mask(rle: str, *, width: int = 10, height: int = 5, left: int = 10, top: int = 5) -> str:
    place = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask label="cat" rle="{rle}" {place}></mask>'


def write_xml(folder: Path, shapes: str, *, name: str = "a.jpg", meta: str = META) -> Path:
    """A picture `a.jpg` and the xml of it."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.jpg")
    image = f'<image id="0" name="{name}" width="{WIDTH}" height="{HEIGHT}">{shapes}</image>'
    (folder / "cvat.xml").write_text(f"<annotations>{meta}{image}</annotations>")
    return folder / "cvat.xml"


def masks(folder: Path, shapes: str, **options: Any) -> list[np.ndarray]:
    (image,) = CvatSet("cvat", folder, write_xml(folder, shapes), **options)
    return [decode_rle(rle) for rle in image.masks()]


def test_mask_polygon_and_box_show_the_same(tmp_path: Path) -> None:
    found = masks(tmp_path, mask("0, 50") + POLYGON + BOX, boxes=True)

    assert np.array_equal(found, [BLOCK] * 3)


def test_the_runs_of_a_mask_go_in_rows_and_begin_with_background(tmp_path: Path) -> None:
    (found,) = masks(tmp_path, mask("1, 2, 1, 2", width=3, height=2, left=37, top=18))

    assert np.argwhere(found).tolist() == [[18, 38], [18, 39], [19, 38], [19, 39]]


def test_ellipses_turn_clockwise(tmp_path: Path) -> None:
    ellipse = '<ellipse label="cat" cx="20" cy="10" rx="8" ry="2" rotation="90.0"></ellipse>'

    (found,) = masks(tmp_path, ellipse)

    assert found.any(1).sum() == 16 and found.any(0).sum() == 4


@pytest.mark.parametrize(
    ("bad", "kind", "message"),
    [
        (BOX, UnusableMask, "a box is no shape of an object"),
        ('<points label="cat" points="1,1"></points>', UnusableMask, "a points is no shape"),
        (POLYGON.replace("cat", "dog"), UnknownCategory, "the label 'dog'"),
        (mask("0, 49"), UnusableMask, "do not sum to 10 x 5"),
        (mask("60, -10"), UnusableMask, "do not sum to 10 x 5"),
        (mask("0, 99999999999999999999"), UnusableMask, "do not sum to 10 x 5"),
        (mask("0, 50", left=35), UnusableMask, "lies outside its image"),
        (mask("0, 50", width=100000, height=100000), UnusableMask, "lies outside its image"),
        (mask("a"), UnusableMask, "cannot be read"),
        (POLYGON.replace("20.0,5.0", "nan,5"), UnusableMask, "far outside its image"),
        ('<polygon label="cat"></polygon>', UnusableMask, "cannot be read"),
    ],
)
def test_a_bad_shape_costs_itself_and_is_named(
    tmp_path: Path, bad: str, kind: type, message: str
) -> None:
    errors: list[Exception] = []

    found = masks(tmp_path, POLYGON + bad, on_bad=lambda *told: errors.append(told[2]))

    assert len(found) == 1
    (error,) = errors
    assert isinstance(error, kind)
    assert message in str(error)


def test_an_image_of_another_size_is_named(tmp_path: Path) -> None:
    xml = write_xml(tmp_path, POLYGON)
    xml.write_text(xml.read_text().replace('width="40"', 'width="41"'))
    (image,) = CvatSet("cvat", tmp_path, xml)

    with pytest.raises(UnusableMask, match="is 41 x 20 pixels, its image is 40 x 20"):
        image.masks()


def test_images_that_are_not_there_and_those_named_twice_are_told(tmp_path: Path) -> None:
    xml = write_xml(tmp_path, POLYGON)
    again = '<image name="a.jpg"></image><image name="gone.jpg"></image></annotations>'
    xml.write_text(xml.read_text().replace("</annotations>", again))
    errors: list[Exception] = []

    found = CvatSet("cvat", tmp_path, xml, on_bad=lambda *told: errors.append(told[2]))

    assert len(found) == 1
    assert [type(error) for error in errors] == [OrphanMask, OrphanMask]


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/passwd", "x/../../a.jpg"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()

    with pytest.raises(ValueError, match="which is not below"):
        CvatSet("cvat", tmp_path / "images", write_xml(tmp_path, POLYGON, name=name))


BOMB = (
    '<!DOCTYPE a [<!ENTITY b "bbbbbbbb"><!ENTITY c "&b;&b;&b;&b;">]><annotations>&c;</annotations>'
)
FOREIGN = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotations>&x;</annotations>'


@pytest.mark.parametrize(
    "text",
    ["", "<annotations><image", "<html></html>", BOMB, FOREIGN, "<a>" * 100, "[1, 2]", "\0\1\2"],
)
def test_another_xml_is_one_sentence(tmp_path: Path, text: str) -> None:
    write_xml(tmp_path, "").write_text(text)

    with pytest.raises(ValueError, match=r"cvat: cvat\.xml: .*export the task as `CVAT for images"):
        CvatSet("cvat", tmp_path, tmp_path / "cvat.xml")
