from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sam_train.data.store.embeddings import EmbeddingCache, check_room
from sam_train.data.store.manifest import Dataset
from sam_train.data.stream.collate import Batch
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam


def test_what_is_kept_is_what_the_teacher_sees_in_half_precision(
    embeddings: EmbeddingCache, teacher: Sam, batch: Batch
) -> None:
    with torch.no_grad():
        seen = teacher.encode(batch["images"], batch["input_sizes"])

    assert len(embeddings) == 4
    torch.testing.assert_close(embeddings.of(batch["keys"]).float(), seen, rtol=2e-3, atol=2e-3)


def test_an_interrupted_teacher_goes_on_with_the_shards_that_are_missing(
    embed: Callable[..., int], tmp_path: Path
) -> None:
    assert embed() == 4
    first, second = sorted((tmp_path / "embeddings").glob("*.f16"))
    before, written = second.read_bytes(), first.stat().st_mtime_ns
    second.rename(second.with_suffix(".f16.partial"))  # as a process leaves it that is killed

    assert embed() == 2
    assert second.read_bytes() == before
    assert first.stat().st_mtime_ns == written
    assert embed() == 0


def test_what_is_damaged_is_told_and_made_anew(embed: Callable[..., int], tmp_path: Path) -> None:
    embed()
    rows, _ = sorted((tmp_path / "embeddings").glob("*.f16"))
    keys, whole = rows.with_suffix(".keys.json"), rows.read_bytes()
    for damage in (
        lambda: rows.write_bytes(whole[:-2]),
        lambda: keys.write_text(keys.read_text()[:-3]),
        keys.unlink,
    ):
        damage()
        with pytest.raises(ValueError, match=r"000000\.f16 is damaged, .* run tools\.embed again"):
            EmbeddingCache(tmp_path / "embeddings")
        assert embed() == 2
        assert rows.read_bytes() == whole


def test_embeddings_of_another_teacher_are_not_mixed_in(
    embed: Callable[..., int], student: Sam
) -> None:
    embed()

    with pytest.raises(
        ValueError, match="holds embeddings of .* at 64 pixels, padded, not of .*at 64 pix"
    ):
        embed(student)
    with pytest.raises(ValueError, match="at 96 pixels, padded: choose another folder"):
        embed(build_sam_tiny(image_size=96, dim=32))


def test_embeddings_of_other_images_are_not_mixed_in(
    embed: Callable[..., int], dataset: Dataset, tmp_path: Path
) -> None:
    embed()
    shard, _ = dataset.read().shards
    other = replace(shard, images_sha256="other")
    dataset.commit([other], parent=None, phase="known", round=0)

    with pytest.raises(ValueError, match=r"another scenes-000000\.tar.*: choose another folder"):
        embed()


def test_a_shard_that_is_cut_off_is_told_and_not_taken_for_whole(
    embed: Callable[..., int], dataset: Dataset, tmp_path: Path
) -> None:
    _, last = dataset.read().shards
    tar = dataset.root / last.images
    whole = tar.read_bytes()
    tar.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(ValueError, match=r"000001\.tar .* is not the file .*: copy it again"):
        embed()
    assert not list((tmp_path / "embeddings").glob("*.f16"))
    tar.write_bytes(whole)
    assert embed() == 4


def test_a_teacher_that_gives_nan_is_refused_and_leaves_no_rows(
    embed: Callable[..., int], teacher: Sam, tmp_path: Path
) -> None:
    next(teacher.image_encoder.parameters()).data.fill_(torch.nan)

    with pytest.raises(ValueError, match="of the image 000000 is not finite.*another teacher"):
        embed(teacher)
    assert not list((tmp_path / "embeddings").glob("*.f16*"))


def test_stretched_images_are_not_mixed_with_padded_ones(
    embed: Callable[..., int], teacher: Sam
) -> None:
    embed()
    teacher.keeps_aspect = False

    with pytest.raises(ValueError, match="64 pixels, padded, not of .* 64 pixels, stretched: "):
        embed()


def test_an_image_without_an_embedding_is_named(embeddings: EmbeddingCache) -> None:
    with pytest.raises(ValueError, match="holds no embedding of the image gone: run tools.embed"):
        embeddings.of(["gone"])


def test_moments_are_those_of_every_place_and_of_every_channel_around_them(
    embeddings: EmbeddingCache, batch: Batch
) -> None:
    rows = embeddings.of(batch["keys"]).double()
    expected = (rows - rows.mean(0)).square().mean((0, 2, 3)).sqrt()

    mean, deviation = embeddings.moments()
    torch.testing.assert_close(mean, rows.mean(0).float())
    torch.testing.assert_close(deviation.flatten(), expected.float())


def test_moments_of_a_few_images_are_of_images_from_the_whole_cache(
    embeddings: EmbeddingCache, batch: Batch
) -> None:
    first_of_each_shard = batch["keys"][::2]

    mean, _ = embeddings.moments(images=2)
    torch.testing.assert_close(mean, embeddings.of(first_of_each_shard).float().mean(0))


def test_a_folder_without_embeddings_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"python -m tools\.embed DATASET"):
        EmbeddingCache(tmp_path)


def test_a_disk_that_is_too_small_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"take 1000000000\.0 GB .* larger disk"):
        check_room(tmp_path, 10**18)
