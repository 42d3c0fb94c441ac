"""What each phase does with one image, and a shard of images with a bad one."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data_engine.annotation.annotators import NoAnnotator, SimulatedAnnotator
from data_engine.annotation.overlap import without_duplicates
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Task, TaskPredictor
from data_engine.phases.fully_automatic import FullyAutomatic
from data_engine.phases.object_detector import DetectorTraining, embedded_examples
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.phases.shard_work import ShardJob, annotate_shard
from data_engine.pool import to_sample
from data_engine.run_folder import read_json
from sam_train.data.records import Annotation, Sample, annotation_from_rle
from sam_train.data.rle import Rle, encode_mask, rle_iou
from sam_train.data.scenes import SceneSet
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.shards import read_shard, write_shard
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.inference.tiled_mask_generator import TiledMaskGenerator
from sam_train.modeling.build import build_efficient_sam

Phases = dict[str, Callable[..., Any]]


@pytest.fixture
def samples() -> list[Sample]:
    images = SceneSet("scenes", 3, image_size=64)
    return [to_sample(image, image_id=i, with_masks=True) for i, image in enumerate(images)]


def known(sample: Sample) -> list[Rle]:
    return [annotation["segmentation"] for annotation in sample.record["annotations"]]


def xyxy(bbox: list[float]) -> list[float]:
    x, y, width, height = bbox
    return [x, y, x + width, y + height]


def scene_task(sample: Sample, current: list[Annotation] | None = None) -> Task:
    image = next(iter(SceneSet("scenes", 1, image_size=64))).load()
    return Task(sample.key, image, current or [])


def test_of_two_masks_of_one_object_the_first_stays() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:4] = True
    shifted = np.roll(mask, 1, axis=0)
    a, b, c = (annotation_from_rle(encode_mask(m), id=i) for i, m in enumerate((mask, mask, ~mask)))
    near = annotation_from_rle(encode_mask(shifted), id=3)

    assert without_duplicates([a, b, c], [], duplicate_iou=0.7) == [a, c]
    assert without_duplicates([near, c], [a], duplicate_iou=0.6) == [c]
    assert without_duplicates([near, c], [a], duplicate_iou=0.7) == [near, c]


def test_assisted_manual_masks_come_after_those_that_are_there(
    samples: list[Sample], phases: Phases, predictor: TaskPredictor, stamp: Stamp
) -> None:
    first, *others = known(samples[0])
    annotator = SimulatedAnnotator(
        predictor, stamp, lambda key: [first, *others], max_clicks=1, seconds_per_mask_limit=1e9
    )
    current = [annotation_from_rle(first, id=7)]
    phase = phases["assisted_manual"](predictor, stamp, annotator)
    annotated = phase.annotate(scene_task(samples[0], current))

    assert annotated.annotations[0] == current[0]
    assert [a["id"] for a in annotated.annotations] == [*range(7, 7 + len(annotated.annotations))]
    assert annotated.counts["added"] == len(annotated.annotations) - 1


def test_prefilled_masks_are_not_doubled_and_wrong_ones_are_counted(
    samples: list[Sample],
    phases: Phases,
    predictor: TaskPredictor,
    stamp: Stamp,
    tmp_path: Path,
) -> None:
    annotator = SimulatedAnnotator(
        predictor, stamp, lambda key: known(samples[0]), max_clicks=1, seconds_per_mask_limit=1e9
    )
    phase = phases["semi_automatic"](predictor, stamp, annotator)
    phase.prepare(lambda: samples, tmp_path)
    annotated = phase.annotate(scene_task(samples[0]))
    counts = annotated.counts

    assert counts["prefilled"] > 0
    assert len(annotated.annotations) == counts["added"] + counts["prefilled"] - counts["removed"]
    rles = [annotation["segmentation"] for annotation in annotated.annotations]
    assert (rle_iou(rles, rles) - np.eye(len(rles))).max() < phase.duplicate_iou


def test_the_detector_does_not_learn_boxes_without_a_width(
    samples: list[Sample], predictor: TaskPredictor
) -> None:
    first, second, *others = samples[0].record["annotations"]
    first["bbox"][2] = 0.0  # as SA-1B writes a mask of one column
    samples[0].record["annotations"] = [first, second]
    samples[1].record["annotations"] = [dict(first)]

    examples = list(embedded_examples(predictor, samples[:2]))

    assert [boxes.tolist() for _, _, boxes in examples] == [[xyxy(second["bbox"])]]


def test_a_prefilled_mask_says_which_box_it_came_from(
    samples: list[Sample],
    phases: Phases,
    predictor: TaskPredictor,
    stamp: Stamp,
    tmp_path: Path,
) -> None:
    phase = phases["semi_automatic"](predictor, stamp, NoAnnotator(predictor, stamp, known))
    phase.prepare(lambda: samples, tmp_path)
    (first, *_) = phase.annotate(scene_task(samples[0])).annotations
    provenance = first["provenance"]

    assert provenance["annotator"] == "detector" and provenance["seconds"] == 0
    assert provenance["prompts"][0]["type"] == "box"
    x0, y0, x1, y1 = provenance["prompts"][0]["coords"]
    assert 0 <= x0 < x1 <= 64 and 0 <= y0 < y1 <= 64


def test_the_box_of_a_prefilled_mask_is_in_pixels_of_the_image_along_both_axes(
    stamp: Stamp,
) -> None:
    torch.manual_seed(0)  # any weights whose mask is not empty
    predictor = TaskPredictor(build_efficient_sam(size="efficient_sam_ti", image_size=64))
    predictor.set_task(Task("wide", np.zeros((20, 40, 3), np.uint8)))
    phase = SemiAutomatic(
        predictor,
        stamp,
        NoAnnotator(predictor, stamp, lambda key: []),
        pred_iou_thresh=-np.inf,
        stability_score_thresh=-np.inf,
    )
    boxes = torch.tensor([[0.0, 0.0, 64.0, 64.0]])

    (annotation,) = phase._masks_in_boxes(boxes, first_id=1)

    assert annotation["provenance"]["prompts"][0]["coords"] == [0, 0, 40, 20]
    assert annotation["point_coords"] == [[20, 10]]


def test_automatic_masks_leave_out_what_is_there_and_say_which_point_made_them(
    samples: list[Sample], phases: Phases, predictor: TaskPredictor, stamp: Stamp
) -> None:
    nobody = NoAnnotator(predictor, stamp, known)
    phase = phases["fully_automatic"](predictor, stamp, nobody)
    found = phase.annotate(scene_task(samples[0])).annotations
    again = phase.annotate(scene_task(samples[0], found))

    assert found
    assert found[0]["provenance"]["annotator"] == "automatic"
    assert found[0]["provenance"]["prompts"][0]["coords"] == pytest.approx(
        found[0]["point_coords"][0], abs=0.01
    )
    assert again.annotations == found
    assert again.counts["duplicates"] >= len(found)


def test_counts_of_an_automatic_phase_tell_what_each_filter_left(
    samples: list[Sample], phases: Phases, predictor: TaskPredictor, stamp: Stamp
) -> None:
    nobody = NoAnnotator(predictor, stamp, known)
    counts = phases["fully_automatic"](predictor, stamp, nobody).annotate(scene_task(samples[0]))

    assert counts.counts["decoded"] == 3 * 3 * 3
    assert counts.counts["decoded"] >= counts.counts["stable"] >= counts.counts["kept"] > 0


def test_a_tiled_automatic_phase_sees_every_tile_and_counts_what_was_joined(
    samples: list[Sample], phases: Phases, predictor: TaskPredictor, stamp: Stamp
) -> None:
    tiling = partial(TiledMaskGenerator, tile_size=40, tile_overlap=16)  # of 64: four tiles
    nobody = NoAnnotator(predictor, stamp, known)
    phase = phases["fully_automatic"](predictor, stamp, nobody, tiling=tiling)
    annotated = phase.annotate(scene_task(samples[0]))

    assert annotated.counts["decoded"] == 4 * 3 * 3 * 3
    assert "stitched" in annotated.counts
    assert all(len(mask["point_coords"]) >= 1 for mask in annotated.annotations)


def test_the_detector_is_trained_once(
    samples: list[Sample], predictor: TaskPredictor, tmp_path: Path
) -> None:
    training = DetectorTraining(max_images=2, max_steps=1, batch_size=1)
    weights = tmp_path / "detector.safetensors"
    first = training.fit_once(predictor, samples, weights)
    second = training.fit_once(predictor, [], weights)

    assert all((a == b).all() for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_detector_without_masks_is_refused(predictor: TaskPredictor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no masks to learn from"):
        DetectorTraining().fit_once(predictor, [], tmp_path / "detector.safetensors")


def test_a_bad_image_is_listed_and_keeps_its_place(
    samples: list[Sample], phases: Phases, predictor: TaskPredictor, stamp: Stamp, tmp_path: Path
) -> None:
    broken = Sample("broken", b"no jpeg", samples[0].record)
    write_shard(tmp_path / "images.tar", [samples[0], broken, samples[1]])
    job = ShardJob(tmp_path / "images.tar", None, tmp_path / "layer.tar", tmp_path / "a.stats.json")
    phase = phases["fully_automatic"](predictor, stamp, NoAnnotator(predictor, stamp, known))
    annotate_shard(job, phase, BadSampleLog(tmp_path / "bad_samples.jsonl"))
    layer = {s.key: s.record["annotations"] for s in read_shard(job.images, job.layer)}

    assert job.done and read_json(job.stats)["bad"] == 1
    assert '"key": "broken"' in (tmp_path / "bad_samples.jsonl").read_text()
    assert layer["broken"] == [] != layer[samples[1].key]


def test_known_masks_that_cannot_be_read_spoil_their_image_alone(
    samples: list[Sample], phases: Phases, predictor: TaskPredictor, stamp: Stamp, tmp_path: Path
) -> None:
    def partly_broken(key: str) -> list[Rle]:
        if key == samples[0].key:
            raise ValueError("the mask is of another size than its image")
        return known(samples[1])

    write_shard(tmp_path / "images.tar", samples[:2])
    job = ShardJob(tmp_path / "images.tar", None, tmp_path / "layer.tar", tmp_path / "a.stats.json")
    annotator = SimulatedAnnotator(predictor, stamp, partly_broken)
    phase = phases["assisted_manual"](predictor, stamp, annotator)
    stats = annotate_shard(job, phase, BadSampleLog(tmp_path / "bad_samples.jsonl"))

    assert stats["bad"] == 1 and stats["images"] == 2
    assert "another size" in (tmp_path / "bad_samples.jsonl").read_text()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            lambda p, s: SemiAutomatic(p, s, NoAnnotator(p, s, known), boxes_per_batch=0),
            "boxes_per_batch is 0",
        ),
        (lambda p, s: SimulatedAnnotator(p, s, known, max_clicks=0), "max_clicks is 0"),
        (lambda p, s: DetectorTraining(batch_size=0), "detector_training.batch_size is 0"),
        (
            lambda p, s: FullyAutomatic(
                p,
                s,
                NoAnnotator(p, s, known),
                partial(SamAutomaticMaskGenerator, points_per_side=0),
            ),
            "points_per_side=0",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_before_the_first_image(
    settings: Callable[..., Any], sentence: str, predictor: TaskPredictor, stamp: Stamp
) -> None:
    with pytest.raises(ValueError, match=sentence):
        settings(predictor, stamp)
