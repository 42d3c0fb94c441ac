import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_engine.pool import DuplicateImage, Pool, ingest, single_set_pool
from sam_train.data.images import UnreadableImage, encode_jpeg, read_image
from sam_train.data.rle import decode_rle
from sam_train.data.scenes import SceneSet
from sam_train.data.sets.image_folder import ImageFolder
from sam_train.data.sets.mask_folder_set import MaskFolderSet
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import read_shard


def picture(number: int) -> np.ndarray:
    """A smooth picture that looks different for every number."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    return np.asarray(coarse.resize((80, 60), Image.Resampling.BICUBIC))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of 7 pictures as PNG."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(7):
        Image.fromarray(picture(number)).save(folder / f"{number}.png")
    return folder


def keys(pool: Pool) -> list[str]:
    return [image.key for image in pool]


def record_bad(bad: list[tuple[str, str, type]]) -> Callable[[str, str, Exception], None]:
    return lambda name, key, error: bad.append((name, key, type(error)))


# Order, limit, duplicates


def test_a_pool_is_its_sets_one_after_the_other(photos: Path) -> None:
    pool = Pool([SceneSet("scenes", 2, image_size=32), ImageFolder("photos", photos)], limit=4)

    assert keys(pool) == ["scenes-000000", "scenes-000001", "photos-0", "photos-1"]
    assert len(pool) == 4


def test_random_order_is_the_seeds_own(photos: Path) -> None:
    image_set = ImageFolder("photos", photos)
    first, again, other = (keys(Pool([image_set], order="random", seed=seed)) for seed in (1, 1, 2))

    assert first == again != other
    assert sorted(first) == sorted(other) == keys(Pool([image_set]))


def test_a_bad_image_is_reported_and_does_not_count(photos: Path) -> None:
    (photos / "1.png").write_bytes(b"no image")
    pool, bad = Pool([ImageFolder("photos", photos)], limit=3), []

    found = [image.key for image in pool.images(record_bad(bad))]

    assert found == ["photos-0", "photos-2", "photos-3"]
    assert bad == [("photos", "photos-1", UnreadableImage)]
    with pytest.raises(UnreadableImage, match=r"1\.png"):
        list(pool)


def test_equal_pixels_count_once_whatever_the_file(photos: Path) -> None:
    Image.fromarray(picture(2)).save(photos / "2_again.bmp")
    pool, bad = Pool([ImageFolder("photos", photos)]), []

    assert len(list(pool.images(record_bad(bad)))) == 7
    assert bad == [("photos", "photos-2_again", DuplicateImage)]
    assert len(keys(pool)) == 7


def test_recompressed_and_resized_copies_can_be_dropped(photos: Path) -> None:
    Image.fromarray(picture(2)).save(photos / "2_mail.jpg", quality=50)
    Image.fromarray(picture(3)).resize((120, 90)).save(photos / "3_large.png")
    image_set = ImageFolder("photos", photos)

    assert len(keys(Pool([image_set]))) == 9
    assert keys(Pool([image_set], drop_near_duplicates=True)) == [f"photos-{n}" for n in range(7)]


def test_several_readers_find_what_one_finds(photos: Path) -> None:
    (photos / "3_broken.png").write_bytes(b"no image")
    for number in range(42):  # copies, so that each reader has several parts
        Image.fromarray(picture(number % 7)).save(photos / f"{number % 5}_copy_{number}.png")
    pool = Pool([ImageFolder("photos", photos)], order="random", limit=6)
    found, bad = [], []
    for readers in (1, 3):
        listed: list[tuple[str, str, type]] = []
        images = pool.images(record_bad(listed), readers=readers)
        found.append([image.key for image in images])
        bad.append(listed)

    assert found[0] == found[1] and len(set(found[0])) == 6
    assert bad[0] == bad[1] and bad[0]


def test_an_empty_pool_and_two_sets_of_one_name_are_errors(photos: Path) -> None:
    image_set = ImageFolder("photos", photos)

    with pytest.raises(ValueError, match="the pool holds no image"):
        keys(Pool([]))
    with pytest.raises(ValueError, match="two images of the pool have the key photos-0"):
        keys(Pool([image_set, image_set]))
    with pytest.raises(ValueError, match="my photos.* needs a name of letters"):
        keys(Pool([ImageFolder("my photos", photos)]))


def test_known_masks_are_found_by_the_pools_key(photos: Path) -> None:
    pool = Pool([SceneSet("scenes", 2, image_size=32), ImageFolder("photos", photos)])

    assert (
        pool.known_masks("scenes-000001")
        == list(SceneSet("s", 1, seed=1, image_size=32))[0].masks()
    )
    assert pool.known_masks("photos-0") == []
    with pytest.raises(ValueError, match="the pool holds no image 'photos-x'"):
        pool.known_masks("photos-x")


def test_a_pool_can_be_sent_to_another_process() -> None:
    pool = Pool([SceneSet("scenes", 2, image_size=32)])

    known_masks = pickle.loads(pickle.dumps(pool.known_masks))

    assert known_masks("scenes-000001") == pool.known_masks("scenes-000001")


def test_a_pool_of_one_set_takes_the_sets_arguments(photos: Path) -> None:
    pool = single_set_pool(partial(ImageFolder, name="mine"), path=photos, limit=2)

    assert keys(pool) == ["mine-0", "mine-1"]


# Into shards


def test_images_are_written_in_shards_of_the_same_bytes_every_time(
    photos: Path, tmp_path: Path
) -> None:
    pool = Pool([ImageFolder("photos", photos)], order="random", seed=3)
    entries, again = (
        ingest(pool, tmp_path / root, name="p", images_per_shard=3) for root in ("one", "two")
    )

    assert entries == again
    assert [entry.images for entry in entries] == [f"images/p-00000{n}.tar" for n in range(3)]
    assert [entry.image_count for entry in entries] == [3, 3, 1]
    samples = [s for entry in entries for s in read_shard(tmp_path / "one" / entry.images)]
    assert [sample.key for sample in samples] == keys(pool)
    assert [sample.record["image"]["image_id"] for sample in samples] == list(range(1, 8))
    Dataset(tmp_path / "one").commit(entries, parent=None, phase="known", round=0)


def test_an_interrupted_ingest_writes_only_the_missing_shards(photos: Path, tmp_path: Path) -> None:
    pool = Pool([ImageFolder("photos", photos)])
    entries = ingest(pool, tmp_path, name="p", images_per_shard=3)
    (tmp_path / "images/p-000001.tar").unlink()
    kept = (tmp_path / "images/p-000000.tar").stat().st_mtime_ns

    assert ingest(pool, tmp_path, name="p", images_per_shard=3) == entries
    assert (tmp_path / "images/p-000000.tar").stat().st_mtime_ns == kept


def test_shards_of_another_pool_are_not_taken_for_this_ones(photos: Path, tmp_path: Path) -> None:
    ingest(Pool([ImageFolder("photos", photos)]), tmp_path, name="p", images_per_shard=3)

    other = Pool([ImageFolder("other", photos)])
    with pytest.raises(ValueError, match=r"p-000000\.tar was written from another pool"):
        ingest(other, tmp_path, name="p", images_per_shard=3)


def test_plain_jpegs_keep_their_bytes_and_others_are_encoded_upright(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    turned = Image.Exif()
    turned[0x0112] = 6
    (folder / "plain.jpg").write_bytes(encode_jpeg(picture(0), quality=80))
    Image.fromarray(picture(1)).save(folder / "turned.jpg", exif=turned)

    ingest(Pool([ImageFolder("p", folder)]), tmp_path, name="p", images_per_shard=9)

    plain, upright = read_shard(tmp_path / "images/p-000000.tar")
    assert plain.image_bytes == (folder / "plain.jpg").read_bytes()
    assert (upright.record["image"]["height"], upright.record["image"]["width"]) == (80, 60)
    assert read_image(upright.image_bytes).shape == (80, 60, 3)


def test_known_masks_go_into_the_records_if_asked_for(tmp_path: Path) -> None:
    pool = Pool([SceneSet("scenes", 1, image_size=32)])
    ingest(pool, tmp_path / "with", name="p", images_per_shard=9, with_masks=True)
    ingest(pool, tmp_path / "without", name="p", images_per_shard=9)

    (with_masks,) = read_shard(tmp_path / "with/images/p-000000.tar")
    (without,) = read_shard(tmp_path / "without/images/p-000000.tar")

    annotations = with_masks.record["annotations"]
    assert [a["segmentation"] for a in annotations] == pool.known_masks("scenes-000000")
    assert {a["provenance"]["phase"] for a in annotations} == {"known"}
    assert without.record["annotations"] == []
    assert decode_rle(annotations[0]["segmentation"]).sum() == annotations[0]["area"]


def test_an_image_with_bad_masks_is_reported_and_left_out(photos: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for number, size in enumerate([(80, 60), (40, 30)]):
        Image.new("L", size, 255).save(masks / f"{number}.png")
    pool, bad = Pool([MaskFolderSet("set", photos, masks, layout="binary")]), []

    (entry,) = ingest(
        pool, tmp_path, name="p", images_per_shard=9, with_masks=True, on_bad=record_bad(bad)
    )

    assert (entry.image_count, entry.mask_count) == (1, 1)
    assert [key for _, key, _ in bad] == ["set-1"]
