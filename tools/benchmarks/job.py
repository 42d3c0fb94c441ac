"""The fully automatic phase over a folder as a job, beside a bare loop over the same images.

The first row is CPU time: how little the job's reading twice, hashing, journals, files on disk
and commit add to decoding and masks. The second is clock time, on a machine that does nothing
else: two workers beside one. Equal means the same records. The model is the tiny one.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import torch

from data_engine.annotation.annotators import NoAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import Task, TaskPredictor
from data_engine.executors.local import LocalExecutor
from data_engine.phase_run import PhaseRun
from data_engine.phases.fully_automatic import FullyAutomatic
from data_engine.pool import Pool
from data_engine.single_phase import annotate_pool
from sam_train.data.images import encode_jpeg, read_image
from sam_train.data.records import Annotation
from sam_train.data.scenes import draw_scene
from sam_train.data.sets.image_folder import ImageFolder
from sam_train.data.store.bad_samples import refuse
from sam_train.data.store.manifest import Dataset
from sam_train.inference.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from tools.benchmarks.comparison import Comparison

IMAGES, SIZE = 16, (480, 640)
PER_SHARD = 2  # so that two workers end at nearly the same time
STAMP = Stamp("fully_automatic", 0, "model", "config")

Records = dict[str, list[Annotation]]

generator = partial(
    SamAutomaticMaskGenerator,
    points_per_side=8,
    pred_iou_thresh=-10.0,  # untrained: its own scores would drop all its masks
    stability_score_thresh=0.0,
    output_mode="coco_rle",
)


def compare() -> list[Comparison]:
    """Against a bare loop, and two workers against one."""
    torch.manual_seed(1)
    sam, folder = build_sam_tiny(image_size=256).eval(), Path(tempfile.mkdtemp())
    for number in range(IMAGES):
        image = draw_scene(number, SIZE).image
        (folder / f"{number:03d}.jpg").write_bytes(encode_jpeg(image))
    one, two = (partial(job, sam, folder, workers) for workers in (1, 2))
    loop = partial(bare_loop, sam, folder)
    equal = one() == two() == loop() and any(loop().values())
    return [
        Comparison("job, one worker", "a bare loop", one, loop, equal=equal, n=IMAGES,
                   target=0.97),
        Comparison("job, two workers", "one worker", two, one, equal=equal, n=IMAGES,
                   target=1.8, clock=time.perf_counter),
    ]  # fmt: skip


def bare_loop(sam: Sam, folder: Path) -> Records:
    """Every image of the folder, one after the other."""
    predictor = TaskPredictor(sam)
    annotator = NoAnnotator(predictor, STAMP, no_known_masks)
    phase = FullyAutomatic(predictor, STAMP, annotator, generator)
    records = {}
    for file in sorted(folder.iterdir()):
        key = f"photos-{file.stem}"
        records[key] = phase.annotate(Task(key, read_image(file), [])).annotations
    return records


def job(sam: Sam, folder: Path, workers: int) -> Records:
    """The same by workers, into a dataset; the records are read again from there."""
    with tempfile.TemporaryDirectory() as run_dir:
        dataset = Dataset(Path(run_dir) / "dataset")
        phase_run = PhaseRun(
            dataset=dataset,
            folder=Path(run_dir) / "annotate",
            stamp=STAMP,
            build_phase=partial(FullyAutomatic, generator=generator),
            build_annotator=NoAnnotator,
            known_masks=no_known_masks,
            executor=LocalExecutor(workers),
            on_bad=refuse,
        )
        pool = Pool([ImageFolder("photos", folder)])
        annotate_pool(pool, sam, phase_run, samples=list, images_per_shard=PER_SHARD)
        samples = (
            sample for entry in dataset.read("latest").shards for sample in dataset.samples(entry)
        )
        return {sample.key: sample.record["annotations"] for sample in samples}


def no_known_masks(key: str) -> list:
    return []
