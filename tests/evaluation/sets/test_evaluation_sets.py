import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sam_train.data.sets.known_masks import UnusableMask
from sam_train.data.sets.mask_folder_set import MaskFolderSet
from sam_train.evaluation.sets.boundaries import BoundarySet
from sam_train.evaluation.sets.ignored import IgnoringSet
from sam_train.evaluation.sets.instances import InstanceSet
from sam_train.evaluation.sets.registry import PublicSet, other_counts, public_set
from sam_train.evaluation.sets.sampling import evaluated_images

SIZE = (40, 50)


def write_image(path: Path, pixels: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8) if pixels is None else pixels).save(path)


@pytest.fixture
def coco(tmp_path: Path) -> tuple[Path, Path]:
    """Two images with an object each, one also with a crowd; LVIS's keys on the first."""
    for number in (1, 2):
        write_image(tmp_path / "images" / f"{number}.png")
    square = [[5, 5, 15, 5, 15, 15, 5, 15]]
    crowd = {"size": [*SIZE], "counts": [0, 40, 1960]}
    images = [
        {"id": n, "file_name": f"{n}.png", "height": SIZE[0], "width": SIZE[1]} for n in (1, 2)
    ]
    images[0] |= {"neg_category_ids": [9], "not_exhaustive_category_ids": [3]}
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 3, "segmentation": square, "area": 100.0,
         "bbox": [5, 5, 10, 10], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": crowd, "area": 40,
         "bbox": [0, 0, 1, 40], "iscrowd": 1},
        {"id": 3, "image_id": 2, "category_id": 4, "segmentation": square, "area": 100.0,
         "bbox": [5, 5, 10, 10], "iscrowd": 0},
    ]  # fmt: skip
    categories = [{"id": 3, "frequency": "r"}, {"id": 4, "frequency": "f"}]
    path = tmp_path / "instances.json"
    document = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(document))
    return tmp_path / "images", path


def test_instances_keep_crowds_frequencies_and_what_was_looked_for(coco):
    first, second = InstanceSet("toy", *coco)

    assert [i.crowd for i in first.instances()] == [False, True]
    assert [i.frequency for i in first.instances()] == ["r", "r"]
    assert len(first.masks()) == 1
    assert (first.absent, first.not_exhaustive) == (frozenset({9}), frozenset({3}))
    assert second.absent is None
    (box,) = first.detections()
    assert (box.category, box.box, box.score) == (3, (5.0, 5.0, 15.0, 15.0), 1.0)


def test_a_set_goes_to_other_processes(coco):
    first, _ = pickle.loads(pickle.dumps(InstanceSet("toy", *coco)))

    assert len(first.instances()) == 2
    assert len(first.detections()) == 1


def test_useless_detections_are_counted_or_refused(coco, tmp_path):
    good = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}
    listed = [good, good | {"image_id": 77}, good | {"image_id": 78}, good | {"category_id": 5},
              good | {"score": float("nan")}, good | {"bbox": [1, 2]}, {"score": 1}]  # fmt: skip
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(listed))
    said: list[str] = []

    with pytest.raises(ValueError, match="2 of 7 detections .* of an image that is not in"):
        InstanceSet("toy", *coco, detections=path)
    first, second = InstanceSet(
        "toy", *coco, detections=path, on_bad=lambda _name, _key, error: said.append(str(error))
    )

    assert len(said) == 5
    assert [d.score for d in first.detections()] == [0.5]
    assert second.detections() == []


def test_a_json_of_another_size_is_no_mask_of_the_image(coco):
    images, path = coco
    write_image(images / "1.png", np.zeros((30, 30, 3), np.uint8))
    first, _ = InstanceSet("toy", images, path)

    with pytest.raises(UnusableMask, match="another size"):
        first.instances()


def test_an_image_that_is_missing_is_told(coco):
    images, path = coco
    (images / "2.png").unlink()
    said: list[tuple] = []

    found = list(
        evaluated_images(InstanceSet("toy", images, path), on_bad=lambda *w: said.append(w))
    )

    assert [image.key for image in found] == ["1"]
    ((name, key, error),) = said
    assert (name, key) == ("toy", "2")
    assert "2.png" in str(error)


def test_grabcuts_band_counts_for_nothing(tmp_path):
    labels = np.zeros(SIZE, np.uint8)
    labels[5:20, 5:20] = 255
    labels[3:5, 5:20] = 128
    write_image(tmp_path / "images" / "a.png")
    write_image(tmp_path / "masks" / "a.png", labels)
    masks = MaskFolderSet("toy", tmp_path / "images", tmp_path / "masks", layout="binary")

    (image,) = evaluated_images(IgnoringSet(masks, tmp_path / "masks", [128]))

    assert image.ignored.sum() == 2 * 15
    assert image.masks


def test_every_person_drew_their_own_boundaries(tmp_path):
    write_image(tmp_path / "images" / "a.png")
    people = np.empty((1, 2), object)
    for number in range(2):
        regions = np.ones(SIZE, np.uint16)
        regions[:, 20 + number :] = 2
        boundaries = np.zeros(SIZE, np.uint8)
        boundaries[:, 20 + number] = 1
        people[0, number] = {"Segmentation": regions, "Boundaries": boundaries}
    (tmp_path / "truth").mkdir()
    savemat(tmp_path / "truth" / "a.mat", {"groundTruth": people})

    (image,) = BoundarySet("toy", tmp_path / "images", tmp_path / "truth")

    assert [int(drawing.argmax(1)[0]) for drawing in image.boundaries()] == [20, 21]
    assert len(image.masks()) == 2


def test_a_public_set_that_is_not_there_says_where_to_get_it(tmp_path):
    def build() -> MaskFolderSet:
        return MaskFolderSet("toy", tmp_path / "no", tmp_path / "no", layout="binary")

    with pytest.raises(FileNotFoundError, match="obtain it: https://example"):
        public_set(build, obtain="https://example")


def test_other_counts_than_the_papers_are_said(coco):
    toy = PublicSet(InstanceSet("toy", *coco), images=2, masks=5)

    said = other_counts([toy], {"toy": {"images": 2, "masks": 2}})

    assert said == ["toy: 2 masks were evaluated, 5 in the paper"]


def test_a_sample_that_a_part_of_the_set_cannot_fill_is_said(coco):
    toy = PublicSet(InstanceSet("toy", *coco), sample=5)

    assert other_counts([toy], {"toy": {"images": 2, "masks": 5}}) == []
    assert other_counts([toy], {"toy": {"images": 2, "masks": 4}}) == [
        "toy: only 4 masks were evaluated, 5 if it is whole"
    ]


def test_annotations_that_belong_to_nothing_are_told(coco):
    images, path = coco
    document = json.loads(path.read_text())
    one = document["annotations"][0]
    document["annotations"] += [
        one | {"id": 90, "image_id": 77},
        one | {"id": 91, "category_id": 9},
    ]
    path.write_text(json.dumps(document))
    said: list[str] = []

    first, _ = InstanceSet("toy", *coco, on_bad=lambda _n, _k, e: said.append(type(e).__name__))

    assert sorted(said) == ["OrphanMask", "UnknownCategory"]
    assert len(first.instances()) == 2


def test_an_annotation_without_a_box_is_no_detection(coco):
    images, path = coco
    document = json.loads(path.read_text())
    for annotation in document["annotations"]:
        annotation.pop("bbox")
    path.write_text(json.dumps(document))
    first, _ = InstanceSet("toy", *coco)

    with pytest.raises(UnusableMask, match="has no box of four numbers"):
        first.detections()
