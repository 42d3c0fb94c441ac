"""The accounting page: the figures of the log."""

import io
import re
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_engine.annotation.provenance import Stamp
from data_engine.people.follow_up import Reviewing
from data_engine.people.tasks.queue import Terms
from data_engine.service.workbench.workbench import Rules


@pytest.fixture
def rules() -> Rules:
    stamp = Stamp("assisted_manual", 3, "model", "config")
    return Rules(stamp, Terms(lease_s=60.0, gold_share=0.4), Reviewing(1.0))


def work(person: Any, *, masks: int) -> None:
    """Draws masks in 3 s each, one with a stroke that is taken back."""
    person.claim()
    for id in range(1, masks + 1):
        person.do("brush", 8 * id, 10, label=1, radius=3, object=id)
        person.do("point", 8 * id, 10, label=1, object=id)
    person.do("brush", 50, 50, label=1, radius=3, object=masks + 1)
    person.do("undo", object=masks + 1)
    assert person.save().status_code == 200


def table(html: str, title: str) -> list[dict[str, str]]:
    part = html.split(f"<h2>{title}")[1].split("</table>")[0]
    heads = re.findall("<th>(.*?)</th>", part)
    cells = re.findall("<td>(.*?)</td>", part)
    rows = [cells[i : i + len(heads)] for i in range(0, len(cells), len(heads))]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def page_of(person: Any) -> str:
    response = person.client.get("/accounting", headers=person.headers)
    assert response.status_code == 200
    return response.text


def test_the_page_and_the_file_tell_what_the_log_holds(ana: Any) -> None:
    work(ana, masks=2)

    (row,) = table(page_of(ana), "By annotator")
    response = ana.client.get("/accounting.parquet", headers=ana.headers)
    entries = pq.read_table(io.BytesIO(response.content)).to_pylist()

    assert row["annotator"] == "ana"
    assert (row["images"], row["masks"], row["seconds"]) == ("1", "2", "9.000")
    assert row["seconds per mask"] == "4.500"
    assert (row["clicks per mask"], row["strokes per mask"]) == ("1.000", "1.500")
    assert sum(entry["seconds"] for entry in entries) == 9.0
    assert [entry["is_new_mask"] for entry in entries] == [True, True, False]


def test_reviews_and_gold_images_show_who_agrees_with_whom(ana: Any, ben: Any) -> None:
    for _ in range(3):  # the last one is gold
        work(ana, masks=1)
    assert ben.claim()["kind"] == "review"
    ben.do("accept", object=0)
    ben.save()
    work(ben, masks=1)  # gold
    assert ben.claim()["kind"] == "review"
    ben.do("brush", 8, 10, label=0, radius=1, object=1)
    ben.save()

    html = page_of(ben)

    (review,) = table(html, "Reviews")
    assert (review["maker"], review["reviewer"]) == ("ana", "ben")
    assert (review["accepted"], review["corrected"], review["rejected"]) == ("1", "1", "0")
    assert 0 < float(review["iou"]) < 1
    assert review["seconds per mask"] == "1.500"
    gold = table(html, "Against known masks")
    assert [(row["annotator"], row["images"]) for row in gold] == [("ana", "1"), ("ben", "1")]
    (pair,) = table(html, "Between annotators")
    assert (pair["annotators"], pair["iou"]) == ("ana, ben", "1.000")
    times = {row["annotator"]: row for row in table(html, "Over time")}
    assert times["ana"]["review iou"] == review["iou"]
    assert times["ben"]["review iou"] == "–"


def test_nobody_sees_the_accounting_without_a_token(ana: Any) -> None:
    token = ana.headers["Authorization"].split()[1]

    assert ana.client.get("/accounting").status_code == 401
    assert ana.client.get("/accounting.parquet?token=wrong").status_code == 401
    assert ana.client.get(f"/accounting?token={token}").status_code == 200
