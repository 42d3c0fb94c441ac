import numpy as np
import pytest

from sam_train.evaluation.measures.comparison import compare, compare_all


def row(key: str, iou: float, name: str = "s", mask_id: int = 0) -> dict:
    return {"set": name, "key": key, "mask_id": mask_id, "iou": iou}


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(0)
    values = rng.random(60) * 0.8
    first = [row(str(n), v) for n, v in enumerate(values)]
    second = [row(str(n), v + 0.05) for n, v in enumerate(values)]

    paired = compare(first, second[::-1], "iou")

    assert paired.difference == pytest.approx(0.05)
    assert paired.low == pytest.approx(0.05)
    assert (paired.wins, paired.losses, paired.masks) == (1, 0, 60)


def test_wins_and_losses_are_shares_of_the_masks():
    first = [row(str(n), 0.5) for n in range(4)]
    second = [row("0", 0.6), row("1", 0.5), row("2", 0.4), row("3", 0.9)]

    paired = compare(first, second, "iou")

    assert (paired.wins, paired.losses) == (0.5, 0.25)
    assert paired.difference == pytest.approx((0.1 - 0.1 + 0.4) / 4)


def test_only_the_same_masks_are_compared():
    with pytest.raises(ValueError, match="mask 0 of b in s"):
        compare([row("a", 0.5)], [row("a", 0.5), row("b", 0.5)], "iou")
    with pytest.raises(ValueError, match="no mask has a noc"):
        compare([row("a", 0.5)], [row("a", 0.5)], "noc")


def test_fewer_clicks_win():
    first, second = ([{"set": "s", "key": "a", "mask_id": 0, "noc_90": n}] for n in (7, 3))

    paired = compare(first, second, "noc_90")

    assert (paired.difference, paired.wins, paired.losses) == (-4, 1, 0)


def test_a_mask_without_a_number_is_no_pair():
    paired = compare([row("a", 0.5), row("b", None)], [row("a", 0.7), row("b", 0.9)], "iou")

    assert (paired.masks, paired.difference) == (1, pytest.approx(0.2))


def test_numbers_of_a_summary_are_compared_in_the_same_draws():
    values = np.linspace(0, 1, 30)
    first, second = ([row(str(n), v + shift) for n, v in enumerate(values)] for shift in (0, 0.1))

    def summarise_set(rows: list[dict]) -> dict:
        """A number that no row has."""
        return {"images": 1, "masks": 1, "level": np.mean([r["iou"] for r in rows])}

    by_mask, level = compare_all(first, second, ["iou", "level", "disc", "ap"], summarise_set)

    assert (by_mask.column, level.column, level.wins) == ("iou", "level", None)
    assert level.difference == pytest.approx(0.1)
    assert (level.low, level.high) == (pytest.approx(0.1), pytest.approx(0.1))  # no draw disagrees
