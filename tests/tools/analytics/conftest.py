"""A small drawn dataset of two versions: known masks, then a layer by two annotators."""

from pathlib import Path

import pytest

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Annotation, Record, Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.scenes import draw_scene
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_annotations, write_shard

SIZE = (48, 64)
SHARDS = {"a-000000": (0, 1, 2), "b-000000": (3, 4)}  # seeds


def scene_sample(seed: int, *, round: int = 0, annotator: str = "set") -> Sample:
    """A scene with its masks; an annotator makes one mask fewer each round."""
    scene = draw_scene(seed, SIZE)
    annotations = [
        annotation(encode_mask(mask), id=id, round=round, annotator=annotator)
        for id, mask in enumerate(scene.masks[round:], start=1)
    ]
    info = {"image_id": seed, "width": SIZE[1], "height": SIZE[0], "file_name": f"{seed}.jpg"}
    return Sample(f"{seed}", encode_jpeg(scene.image), {"image": info, "annotations": annotations})


def annotation(rle: dict, *, id: int, round: int, annotator: str) -> Annotation:
    prompts = [
        {"type": kind, "coords": [1.5, 2.0], "label": 1, "time_s": 0.5}
        for kind in ["point"] * (id % 3) + ["brush"]
    ]
    made = annotation_from_rle(
        rle, id=id, predicted_iou=1 - id / 41, point_coords=[[id + 0.5, 2.5]]
    )
    made["provenance"] = {
        "phase": "assisted_manual" if round else "known", "round": round, "annotator": annotator,
        "model_sha256": None, "config_sha256": "c", "prompts": prompts, "seconds": id / 4,
        "parent_id": None, "review": {"state": "none", "reviewer": None, "iou": None},
    }  # fmt: skip
    return made


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 holds known masks; version 2 a layer over the first shard."""
    root = tmp_path_factory.mktemp("drawn")
    dataset, entries = Dataset(root), []
    for name, seeds in SHARDS.items():
        shard = root / "images" / f"{name}.tar"
        write_shard(shard, map(scene_sample, seeds))
        entries.append(dataset.entry(shard, source=f"set-{name[0]}", phase="known"))
    dataset.commit(entries, parent=None, phase="known", round=0)

    shard, layer = (root / folder / "a-000000.tar" for folder in ("images", "annotations/01"))
    write_annotations(layer, layer_records())
    entries[0] = dataset.entry(shard, layer, source="set-a", phase="assisted_manual")
    dataset.commit(entries, parent=1, phase="assisted_manual", round=1)
    return root


def layer_records() -> list[tuple[str, Record]]:
    samples = [
        scene_sample(seed, round=1, annotator=annotator)
        for seed, annotator in zip(SHARDS["a-000000"], ("ada", "ben", "ada"), strict=True)
    ]
    return [(sample.key, sample.record) for sample in samples]
