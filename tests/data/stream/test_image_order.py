from collections import Counter

import pytest

from sam_train.data.stream.image_order import ImageOrder, shuffled


@pytest.mark.parametrize("count", [1, 2, 3, 16, 37, 1000])
def test_a_shuffle_moves_every_number_to_a_place_of_its_own(count):
    assert sorted(shuffled(i, count, seed=(1,)) for i in range(count)) == list(range(count))


def test_all_shuffles_of_a_few_numbers_occur_about_as_often():
    seen = Counter(tuple(shuffled(i, 3, seed=(seed,)) for i in range(3)) for seed in range(1200))
    assert len(seen) == 6
    assert min(seen.values()) > 140


def test_an_epoch_of_equal_weights_sees_every_image_once():
    order = ImageOrder([5, 1, 8], [1, 1, 1], mixed_images=6, seed=0)
    epochs = [[order[i] for i in range(e * 14, e * 14 + 14)] for e in range(3)]
    everything = [(shard, image) for shard, n in enumerate([5, 1, 8]) for image in range(n)]
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_weights_are_kept_exactly_and_no_image_of_a_shard_is_preferred():
    order = ImageOrder([10, 7, 5], [1, 10, 0.4], mixed_images=20, seed=3)
    assert order.epoch_size == 10 + 70 + 2
    seen = Counter(order[i] for i in range(5 * order.epoch_size))
    assert {number for (shard, _), number in seen.items() if shard == 0} == {5}
    assert {number for (shard, _), number in seen.items() if shard == 1} == {50}
    assert {number for (shard, _), number in seen.items() if shard == 2} == {2}


def test_only_so_many_shards_are_read_at_a_time():
    order = ImageOrder([10] * 12, [1] * 12, mixed_images=30, seed=0)
    groups = [{order[i][0] for i in range(start, start + 30)} for start in range(0, 120, 30)]
    assert {len(group) for group in groups} == {3} == {order.mixed_shards}
    assert set.union(*groups) == set(range(12))


def test_a_shard_that_is_seen_often_is_spread_over_the_epoch():
    order = ImageOrder([100] * 31, [10] + [1] * 30, mixed_images=400, seed=0)
    places = [place for place in range(order.epoch_size) if order[place][0] == 0]
    assert len(places) == 1000
    assert places[0] < 1000 and places[-1] > 3000


def test_seeds_give_other_orders():
    first, second = (ImageOrder([50], [1], mixed_images=1, seed=seed) for seed in (0, 1))
    assert [first[i] for i in range(50)] != [second[i] for i in range(50)]
