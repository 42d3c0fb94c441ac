import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_train.data.images import encode_jpeg, read_image
from sam_train.data.records import Sample
from sam_train.data.rle import decode_rle
from sam_train.data.sets.shard_set import ShardSet
from sam_train.data.store.manifest import Dataset
from tools.convert import main

HEIGHT, WIDTH = 40, 60


def picture(number: int = 0) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)


def block(top: int, left: int, side: int = 8) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def save(file: Path, pixels: np.ndarray, **options: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file, **options)


def mask_set(root: Path, count: int) -> list[str]:
    """`count` images of one mask each; the arguments that convert them."""
    for number in range(count):
        save(root / f"images/{number}.jpg", picture(number))
        save(root / f"masks/{number}.png", block(number, 2 * number).astype(np.uint8) * 255)
    folders = ["--images", f"{root}/images", "--masks", f"{root}/masks"]
    return ["masks", *folders, "--layout", "binary", "--out", f"{root}/ds", "--workers", "1"]


def samples(dataset: Path) -> dict[str, Sample]:
    versions = Dataset(dataset)
    return {s.key: s for entry in versions.read().shards for s in versions.samples(entry)}


def masks(dataset: Path, version: str = "latest") -> dict[str, list[np.ndarray]]:
    images = ShardSet("read", dataset, version=version)
    return {image.key: [decode_rle(rle) for rle in image.masks()] for image in images}


def bad_samples(dataset: Path) -> dict[str, str]:
    lines = (dataset / "bad_samples.jsonl").read_text().splitlines()
    return {entry["key"]: entry["kind"] for entry in map(json.loads, lines)}


# To a dataset


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_set_becomes_shards_of_a_version(tmp_path: Path, workers: str) -> None:
    arguments = mask_set(tmp_path, 5)
    arguments[-1] = workers

    main([*arguments, "--images-per-shard", "2", "--source", "blocks"])

    shards = Dataset(tmp_path / "ds").read().shards
    assert [(entry.image_count, entry.source, entry.phase) for entry in shards] == [
        (2, "blocks", "known"),
        (2, "blocks", "known"),
        (1, "blocks", "known"),
    ]
    found = masks(tmp_path / "ds")
    assert list(found) == [f"blocks-{number}" for number in range(5)]
    assert np.array_equal(found["blocks-3"], [block(3, 6)])
    ids = [sample.record["image"]["image_id"] for sample in samples(tmp_path / "ds").values()]
    assert ids == [1, 2, 3, 4, 5]


def test_a_second_source_makes_a_version_with_both(tmp_path: Path) -> None:
    arguments = mask_set(tmp_path, 2)

    main([*arguments, "--source", "a"])
    main([*arguments, "--source", "b"])

    assert list(masks(tmp_path / "ds", "1")) == ["a-0", "a-1"]
    assert list(masks(tmp_path / "ds", "2")) == ["a-0", "a-1", "b-0", "b-1"]
    with pytest.raises(SystemExit, match="images/b-000000.tar belongs to version 2 of .* already"):
        main([*arguments, "--source", "b"])


def test_an_interrupted_conversion_keeps_its_finished_shards(tmp_path: Path) -> None:
    arguments = [*mask_set(tmp_path, 4), "--images-per-shard", "2"]
    main(arguments)
    (tmp_path / "ds/manifests/000001.json").unlink()
    (tmp_path / "ds/images/masks-000001.stats.json").unlink()
    (tmp_path / "images/0.jpg").write_bytes(b"changed since, but its shard is finished")

    main(arguments)

    assert list(masks(tmp_path / "ds")) == [f"masks-{number}" for number in range(4)]


def test_finished_shards_of_other_settings_are_refused(tmp_path: Path) -> None:
    arguments = mask_set(tmp_path, 2)
    main(arguments)
    (tmp_path / "ds/manifests/000001.json").unlink()

    with pytest.raises(SystemExit, match="with other settings: choose another source"):
        main([*arguments, "--min-area", "3"])


def test_a_plain_jpeg_is_kept_byte_by_byte_and_others_are_encoded_anew(tmp_path: Path) -> None:
    arguments = mask_set(tmp_path, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    save(tmp_path / "images/1.jpg", np.rot90(picture(1)).copy(), exif=exif)
    (tmp_path / "images/2.jpg").unlink()
    save(tmp_path / "images/2.png", np.dstack([picture(2), picture(2)[..., 0]]))
    (tmp_path / "images/3.jpg").unlink()
    save(tmp_path / "images/3.png", picture(3)[..., 0].astype(np.uint16) * 100)

    main(arguments)

    found = samples(tmp_path / "ds")
    assert found["masks-0"].image_bytes == (tmp_path / "images/0.jpg").read_bytes()
    for number, name in ((1, "1.jpg"), (2, "2.png"), (3, "3.png")):
        pixels = read_image(tmp_path / "images" / name)
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert found[f"masks-{number}"].image_bytes == encode_jpeg(pixels)


def test_what_cannot_be_used_is_listed_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = mask_set(tmp_path, 6)
    (tmp_path / "images/0.jpg").write_bytes(b"no image")
    whole = (tmp_path / "images/1.jpg").read_bytes()
    (tmp_path / "images/1.jpg").write_bytes(whole[: len(whole) // 2])
    save(tmp_path / "images/2.jpg", np.zeros((1, 1, 3), np.uint8))
    save(tmp_path / "masks/3.png", np.full((20, 20), 255, np.uint8))
    (tmp_path / "masks/4.png").unlink()

    main(arguments)

    assert list(masks(tmp_path / "ds")) == ["masks-5"]
    assert bad_samples(tmp_path / "ds") == {
        "4": "UnmaskedImage",
        "masks-0": "UnreadableImage",
        "masks-1": "UnreadableImage",
        "masks-2": "UnreadableImage",
        "masks-3": "UnusableMask",
    }
    said = capsys.readouterr().out
    assert "left out: 1 UnmaskedImage, 3 UnreadableImage, 1 UnusableMask, listed in" in said


def test_a_set_without_a_usable_image_makes_no_version(tmp_path: Path) -> None:
    arguments = mask_set(tmp_path, 1)
    (tmp_path / "images/0.jpg").write_bytes(b"no image")

    with pytest.raises(SystemExit, match="no image of masks can be used; .*bad_samples.jsonl says"):
        main(arguments)
    assert Dataset(tmp_path / "ds").versions() == []


def coco_arguments(root: Path, *, height: int) -> list[str]:
    """An image with one mask in a json that tells its height; the arguments that convert it."""
    save(root / "images" / "a.jpg", picture())
    polygon = [5, 5, 30, 5, 30, 25]
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": height}],
        "annotations": [{"id": 1, "image_id": 1, "segmentation": [polygon]}],
    }
    (root / "a.json").write_text(json.dumps(content))
    files = ["--images", f"{root}/images", "--annotations", f"{root}/a.json"]
    return ["coco", *files, "--out", f"{root}/ds"]


def test_annotations_that_were_mended_are_read_again_by_the_same_command(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no image of coco can be used"):
        main(coco_arguments(tmp_path, height=HEIGHT + 1))

    main(coco_arguments(tmp_path, height=HEIGHT))

    assert len(masks(tmp_path / "ds")["coco-a"]) == 1


def test_shards_that_were_finished_before_the_annotations_changed_are_refused(
    tmp_path: Path,
) -> None:
    main(coco_arguments(tmp_path, height=HEIGHT))
    (tmp_path / "ds" / "manifests" / "000001.json").unlink()  # as if it had been interrupted

    with (tmp_path / "a.json").open("a") as file:
        file.write(" ")
    with pytest.raises(SystemExit, match="of other images or with other settings"):
        main(
            ["coco", "--images", f"{tmp_path}/images", "--annotations", f"{tmp_path}/a.json"]
            + ["--out", f"{tmp_path}/ds"]
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "/nowhere"], "convert: masks: there is no folder /nowhere"),
        (["--source", "a b"], "the source 'a b' needs a name of letters"),
        (["--images-per-shard", "0"], "0 images per shard are none"),
        (["--masks", "/nowhere"], "convert: masks: there is no folder /nowhere"),
    ],
)
def test_a_wrong_option_is_one_sentence(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        main([*mask_set(tmp_path, 1), *options])
