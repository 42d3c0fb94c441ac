from pathlib import Path

import pytest

from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.data.stream.mixture import Mixture

ENTRIES = [("a", "known", 5), ("a", "assisted_manual", 3), ("b", "semi_automatic", 2)]


def choose(mixture: Mixture, entries: list[tuple[str, str, int]] = ENTRIES):
    shards = tuple(
        ShardEntry(f"{source}-{phase}.tar", "", None, None, 0, 7, masks, source, phase)
        for source, phase, masks in entries
    )
    manifest = Manifest(1, None, "", "", None, None, "known", 0, shards)
    return mixture.choose(Dataset(Path("root")), manifest)


def test_the_weight_of_a_shard_is_that_of_its_phase_times_that_of_its_source():
    shards = choose(Mixture(phase_weights={"assisted_manual": 10}, source_weights={"a": 0.5}))
    assert [shard.weight for shard in shards] == [0.5, 5.0, 1.0]
    assert [shard.phase for shard in shards] == ["known", "assisted_manual", "semi_automatic"]


def test_weight_0_and_shards_without_masks_are_left_out():
    assert [shard.source for shard in choose(Mixture(source_weights={"a": 0}))] == ["b"]
    assert len(choose(Mixture(), [*ENTRIES, ("c", "known", 0)])) == 3


def test_weights_that_name_nothing_or_leave_nothing_are_refused():
    for mixture, sentence in [
        (Mixture(phase_weights={"automatic": 1}), "no phase 'automatic' to weight"),
        (Mixture(source_weights={"c": 1}), "no source 'c' to weight; sources: .'a', 'b'."),
        (Mixture(source_weights={"a": 0, "b": 0}), "has no masks to train on"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            choose(mixture)
    with pytest.raises(ValueError, match="source_weights.a must be at least 0"):
        Mixture(source_weights={"a": -1})
    with pytest.raises(ValueError, match="`mixed_images` must be at least 1"):
        Mixture(mixed_images=0)
