import pytest

from sam_train.evaluation.metrics import size_class, summarise


def row(name: str, key: str, iou: float, area: int = 100) -> dict:
    return {"set": name, "key": key, "mask_id": 0, "area": area, "image_area": 900, "iou": iou}


def test_sets_count_alike_however_many_masks_they_hold():
    rows = [row("many", str(n), 0.9) for n in range(9)] + [row("one", "a", 0.1)]

    summary = summarise(rows)

    assert summary["sets"]["many"]["iou"] == pytest.approx(0.9)
    assert summary["mean"] == {
        "iou": pytest.approx(0.5), "sets": 2, "images": 10, "masks": 10,
    }  # fmt: skip


def test_every_mask_of_a_set_counts_alike():
    summary = summarise([row("s", "a", 0.0), row("s", "a", 0.3), row("s", "b", 0.9)])

    assert summary["sets"]["s"]["iou"] == pytest.approx(0.4)
    assert (summary["sets"]["s"]["images"], summary["sets"]["s"]["masks"]) == (2, 3)


def test_the_order_of_rows_does_not_matter():
    rows = [row(name, key, iou) for name, key, iou in [("b", "x", 0.25), ("a", "y", 0.5)]]

    assert summarise(rows) == summarise(rows[::-1])
    assert list(summarise(rows)["sets"]) == ["a", "b"]


def test_sizes_are_those_of_coco():
    areas = [32**2 - 1, 32**2, 96**2 - 1, 96**2]
    assert [size_class(area) for area in areas] == ["small", "medium", "medium", "large"]

    parts = summarise([row("s", "a", 0.2, area=10), row("s", "a", 0.6, area=99**2)])

    assert parts["sets"]["s"]["by_size"] == {
        "small": {"masks": 1, "iou": 0.2}, "large": {"masks": 1, "iou": 0.6},
    }  # fmt: skip
