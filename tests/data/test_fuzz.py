"""Damaged and hostile input: refused in a ValueError, or read right; never a crash or a hang.

`FUZZ_EXAMPLES=20000 pytest tests/data/test_fuzz.py` tries so many random inputs of each kind.
"""

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from sam_train.data.images import encode_jpeg
from sam_train.data.records import BadSample, annotation_from_rle, parse_record, validate_record
from sam_train.data.rle import decode_rle, encode_mask, resize_rles, rle_area, rle_runs
from sam_train.data.store.shards import read_shard

fuzz = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 150)),
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def a_record() -> dict:
    rng = np.random.default_rng(0)
    rles = [encode_mask(rng.random((16, 20)) < 0.3) for _ in range(3)]
    image = {"image_id": 1, "width": 20, "height": 16, "file_name": "sa_1.jpg"}
    annotations = [annotation_from_rle(rle, id=id) for id, rle in enumerate(rles)]
    return {"image": image, "annotations": annotations}


RECORD = json.dumps(a_record()).encode()
JPEG = encode_jpeg(np.zeros((16, 20, 3), np.uint8))


@st.composite
def damaged(draw: st.DrawFn, sound: bytes) -> bytes:
    """Bytes of which some were changed, cut out, doubled or put in."""
    data = bytearray(sound)
    for _ in range(draw(st.integers(1, 4))):
        at, size = draw(st.integers(0, len(data))), draw(st.sampled_from([1, 2, 10, 512, 1024]))
        match draw(st.sampled_from(["change", "insert", "remove", "repeat", "cut"])):
            case "change":
                data[at : at + size] = draw(st.binary(min_size=1, max_size=min(size, 8)))
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case "remove":
                del data[at : at + size]
            case "repeat":
                data[at:at] = data[at : at + size]
            case "cut":
                del data[at:]
    return bytes(data)


def compressed(runs: list[int]) -> str:
    """COCO's string of any numbers, as its own source writes them."""
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        done = False
        while not done:
            digit, number = number & 31, number >> 5
            done = number == (-1 if digit & 16 else 0)
            text += chr(48 + digit + (0 if done else 32))
    return text


numbers = st.one_of(st.integers(-70, 70), st.integers(-(2**41), 2**41))
any_size = st.one_of(
    st.lists(st.integers(-2, 40), min_size=2, max_size=2),
    st.lists(st.integers(-(2**70), 2**70) | st.floats(), max_size=3),
)


@st.composite
def rles(draw: st.DrawFn) -> dict:
    """Runs that fit their size, of length zero too; then, perhaps, damaged counts or a lie."""
    height = draw(st.integers(1, 30))
    runs = draw(st.lists(st.integers(0, 80), min_size=1, max_size=12))
    runs.append(-sum(runs) % height)
    rle = {"size": [height, sum(runs) // height], "counts": compressed(runs)}
    match draw(st.sampled_from(["sound", "size", "counts", "numbers", "text"])):
        case "size":
            rle["size"] = draw(any_size)
        case "counts":
            rle["counts"] = draw(damaged(rle["counts"].encode())).decode("latin-1")
        case "numbers":
            rle["counts"] = compressed([*runs[:-1], draw(numbers), draw(numbers)])
        case "text":
            rle["counts"] = draw(st.text(max_size=30))
    return rle


@fuzz
@given(rles())
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_an_rle_is_refused_or_gives_the_mask_of_pycocotools(rle: dict) -> None:
    try:
        rle_runs(rle)
    except ValueError:
        event("refused")
        return
    event("accepted")
    mask = coco.decode(rle).astype(bool)
    assert np.array_equal(decode_rle(rle), mask)
    assert rle_area(rle) == mask.sum()
    sound = encode_mask(mask)
    assert np.array_equal(resize_rles([sound, rle, sound], (5, 4))[1], at_centres(mask, 5, 4))


def at_centres(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = (2 * np.arange(height) + 1) * mask.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * mask.shape[1] // (2 * width)
    return mask[rows][:, columns]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
    | st.just(10**400) | st.just([16, 20]),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=4), values),
    max_leaves=6,
)  # fmt: skip


@st.composite
def records_with_a_wrong_value(draw: st.DrawFn) -> bytes:
    """A record of which one value, at any depth, is replaced or gone."""
    record = json.loads(RECORD)
    part = draw(st.sampled_from([record, record["image"], *record["annotations"]]))
    key = draw(st.sampled_from(sorted(part)))
    if key == "segmentation" and draw(st.booleans()):
        part, key = part[key], draw(st.sampled_from(["size", "counts"]))
    if draw(st.booleans()):
        del part[key]
    else:
        part[key] = draw(json_values)
    return json.dumps(record).encode()


any_record = st.one_of(
    damaged(RECORD), records_with_a_wrong_value(), st.binary(max_size=20),
    json_values.map(lambda value: json.dumps(value).encode()),
)  # fmt: skip


@fuzz
@given(any_record)
def test_a_record_is_refused_or_its_masks_are_sound(text: bytes) -> None:
    try:
        record = parse_record(text)
        validate_record(record)
    except BadSample:
        event("refused")
        return
    event("accepted")
    for annotation in record["annotations"]:
        assert coco.area(annotation["segmentation"]) == annotation["area"]


def tar_of(members: list[tuple[str, bytes, bytes]]) -> bytes:
    """A tar of (name, type, content); links point to a file outside."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content in members:
            header = tarfile.TarInfo(name)
            header.type, header.size = kind, len(content) if kind == tarfile.REGTYPE else 0
            header.linkname = "/etc/passwd" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(header, io.BytesIO(content))
    return buffer.getvalue()


SHARD = tar_of(
    [
        (f"{key}{suffix}", tarfile.REGTYPE, content)
        for key in ("./sa_1", "sa_2", "sa_3")
        for suffix, content in ((".jpg", JPEG), (".json", RECORD))
    ]
)
names = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "", "./", "/", "../", "/etc/", "a/../../", "a/"]),
    st.sampled_from(["sa_1", "sa_1", "sa_2", "", "."]),
    st.sampled_from([".jpg", ".json", ".jpg", ".json", ".txt", ".JPG"]),
)
kinds = st.sampled_from([tarfile.REGTYPE] * 9 + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE])
contents = st.sampled_from([RECORD, JPEG, b"", b"{}"])
any_tar = st.one_of(
    damaged(SHARD), st.lists(st.tuples(names, kinds, contents), max_size=8).map(tar_of),
    st.binary(max_size=2000),
)  # fmt: skip


@fuzz
@given(any_tar)
def test_a_tar_is_read_as_far_as_it_is_sound(content: bytes) -> None:
    bad: list[Exception] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shard.tar"
        path.write_bytes(content)
        samples = list(read_shard(path, on_bad=lambda shard, key, error: bad.append(error)))
        try:
            strict = list(read_shard(path))
        except ValueError:
            assert bad
        else:
            assert strict == samples and not bad
    event(f"{len(samples)} samples, {'some' if bad else 'none'} bad")
    assert all(isinstance(error, ValueError) for error in bad)
    assert len({sample.key for sample in samples}) == len(samples)
