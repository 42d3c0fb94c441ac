import pytest

from sam_train.evaluation.measures.summary import size_class, summarise, summarise_masks


def row(name: str, key: str, iou: float, area: int = 100, mask_id: int = 0) -> dict:
    return {"set": name, "key": key, "mask_id": mask_id, "area": area, "iou": iou}


def table(rows: list[dict]) -> dict:
    return summarise(rows, lambda found: summarise_masks(found, ["iou"]))


def test_sets_count_alike_however_many_masks_they_hold():
    rows = [row("many", str(n), 0.9) for n in range(9)] + [row("one", "a", 0.1)]

    summary = table(rows)

    assert summary["sets"]["many"]["iou"] == pytest.approx(0.9)
    assert summary["mean"] == {
        "iou": pytest.approx(0.5), "sets": 2, "images": 10, "masks": 10,
    }  # fmt: skip


def test_every_mask_of_a_set_counts_alike():
    summary = table([row("s", "a", 0.0), row("s", "a", 0.3, mask_id=1), row("s", "b", 0.9)])

    assert summary["sets"]["s"]["iou"] == pytest.approx(0.4)
    assert (summary["sets"]["s"]["images"], summary["sets"]["s"]["masks"]) == (2, 3)


def test_the_order_of_rows_changes_no_digit():
    rows = [row("s", str(n), 0.1 * n) for n in range(7)] + [row("a", "y", 0.3)]

    assert table(rows) == table(rows[::-1])
    assert list(table(rows)["sets"]) == ["a", "s"]


def test_a_number_that_only_some_sets_have_gets_no_mean():
    summary = summarise(
        [row("a", "x", 0.5), row("b", "y", 0.7)],
        lambda rows: {"images": 1, "masks": 1} | ({"ap": 0.2} if rows[0]["set"] == "a" else {}),
    )

    assert "ap" not in summary["mean"]
    assert summary["sets"]["a"]["ap"] == 0.2


def test_sizes_are_those_of_coco():
    areas = [32**2 - 1, 32**2, 96**2 - 1, 96**2]
    assert [size_class(area) for area in areas] == ["small", "medium", "medium", "large"]

    parts = table([row("s", "a", 0.2, area=10), row("s", "b", 0.6, area=99**2)])

    assert parts["sets"]["s"]["by_size"] == {
        "small": {"masks": 1, "iou": 0.2}, "large": {"masks": 1, "iou": 0.6},
    }  # fmt: skip
