from pathlib import Path

import pytest

from sam_train.data.sets.image_folder import ImageFolder

HEIGHT, WIDTH = 20, 30


def test_keys_are_unique_and_safe_as_file_names(tmp_path: Path, save) -> None:
    names = [
        "a/b.jpg",
        "a-b.jpg",
        "a-b.png",
        "my photo (1).v2.jpg",
        "été.jpg",
        "日本.jpg",
        "x" * 150,
    ]
    for name in names:
        save(tmp_path / (name if "." in name else f"{name}.jpg"))
    save(tmp_path / ".thumbnails/a.jpg")
    (tmp_path / "notes.txt").write_text("no image")

    images = list(ImageFolder("photos", tmp_path))

    keys = [image.key for image in images]
    assert len(set(keys)) == len(keys) == len(names)
    assert all(key.replace("-", "").replace("_", "").isalnum() and key.isascii() for key in keys)
    assert max(map(len, keys)) <= 100
    assert {"a-b", "my-photo-1-v2"} <= set(keys)


def test_folders_that_are_links_are_followed_once(tmp_path: Path, save) -> None:
    pool = tmp_path / "pool"
    save(tmp_path / "elsewhere/a.png")
    save(pool / "b.png")
    save(pool / "own/c.png")
    (pool / "alias").symlink_to(pool / "own")
    for link in ("first", "second"):
        (pool / link).symlink_to(tmp_path / "elsewhere")
    (pool / "loop").symlink_to(pool)

    assert [image.key for image in ImageFolder("photos", pool)] == ["b", "first-a", "own-c"]


def test_an_image_of_a_folder_is_read_when_asked_for(tmp_path: Path, save) -> None:
    save(tmp_path / "a.png")
    (image,) = ImageFolder("photos", str(tmp_path))

    assert image.load().shape == (HEIGHT, WIDTH, 3)
    assert image.masks() == []
    assert image.encoded is not None
    assert image.encoded() == (tmp_path / "a.png").read_bytes()


def test_a_missing_and_an_empty_folder_name_the_key_to_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="photos: there is no folder .* set `path`"):
        ImageFolder("photos", tmp_path / "nowhere")
    with pytest.raises(ValueError, match="photos: .* holds no image; set `path`"):
        ImageFolder("photos", tmp_path)


def test_skipped_keys_are_left_out_and_must_exist(tmp_path: Path, save) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")

    assert [image.key for image in ImageFolder("photos", tmp_path, skip=["a"])] == ["b"]
    with pytest.raises(ValueError, match="`skip` names 'c'"):
        ImageFolder("photos", tmp_path, skip=["c"])
