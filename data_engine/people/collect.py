"""Saved drawings become a dataset version, through the same phase as everybody's masks."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from data_engine.annotation.annotators import Annotator
from data_engine.annotation.provenance import Stamp
from data_engine.annotation.task import TaskPredictor
from data_engine.executors.local import LocalExecutor
from data_engine.people.answers import SavedAnswers
from data_engine.people.tasks.store import Store
from data_engine.phase_run import PhaseRun
from data_engine.phases.phase import BuildAnnotator, BuildPhase, Phase
from data_engine.phases.semi_automatic import SemiAutomatic
from data_engine.pool import Pool
from data_engine.rounds import PoolShards
from data_engine.run_folder import read_json, write_json
from sam_train.data.records import Sample
from sam_train.data.store.bad_samples import OnBad
from sam_train.data.store.manifest import Dataset, Manifest, ShardEntry
from sam_train.data.store.shard_index import ensure_index
from sam_train.modeling.sam import Sam


def collect(
    store: Store,
    pool: Pool,
    sam: Sam,
    output_dir: Path,
    *,
    build_phase: BuildPhase,
    stamp: Stamp,
    images_per_shard: int,
    on_bad: OnBad,
) -> Manifest | None:
    """Adds the images that were finished since the last version to `output_dir`/dataset.

    Returns the new version, or None if nothing was saved. Interrupted, it goes on with the same
    images when it is called again.
    """
    dataset = Dataset(output_dir / "dataset")
    parent = dataset.read() if dataset.versions() else None
    name = f"people-{parent.version + 1 if parent else 1:06d}"
    folder = output_dir / "collected" / name
    if not (keys := batch(store, dataset, parent, folder / "keys.json")):
        return None
    pool_shards = PoolShards(
        pool.only(set(keys)),
        name=name,
        dataset_root=dataset.root,
        images_per_shard=images_per_shard,
        with_masks=False,
        on_bad=on_bad,
    )
    build_phase, build_annotator = with_answers(build_phase, store)
    phase_run = PhaseRun(
        dataset=dataset,
        folder=folder,
        stamp=stamp,
        build_phase=build_phase,
        build_annotator=build_annotator,
        known_masks=pool.known_masks,
        executor=LocalExecutor(),
        on_bad=on_bad,
    )
    entries = phase_run.run(sam, pool_shards.of_turn([len(keys)], turn=0), no_samples)
    return commit_after(dataset, parent, entries, stamp)


def commit_after(
    dataset: Dataset, parent: Manifest | None, entries: Sequence[ShardEntry], stamp: Stamp
) -> Manifest:
    """Commits shards beside those of the version before, if there is one."""
    return dataset.commit(
        [*(parent.shards if parent else ()), *entries],
        parent=parent.version if parent else None,
        phase=stamp.phase,
        round=stamp.round,
        model_sha256=stamp.model_sha256,
        config_sha256=stamp.config_sha256,
    )


def with_answers(build_phase: BuildPhase, store: Store) -> tuple[BuildPhase, BuildAnnotator]:
    """The phase with what people were shown, and what they saved as its annotator."""

    def build(predictor: TaskPredictor, stamp: Stamp, annotator: Annotator) -> Phase:
        assert isinstance(annotator, SavedAnswers)
        phase = build_phase(predictor, stamp, annotator)
        if isinstance(phase, SemiAutomatic):
            phase.shown = annotator.shown
        return phase

    return build, partial(SavedAnswers, store=store)


def batch(store: Store, dataset: Dataset, parent: Manifest | None, path: Path) -> list[str]:
    """The finished images that no version has, written down before anything is made of them."""
    if path.exists():
        return read_json(path)
    collected: set[str] = set()
    for entry in parent.shards if parent else ():
        collected.update(ensure_index(dataset.root / entry.images).keys)
    keys = [key for key in store.final_images() if key not in collected]
    if keys:
        write_json(path, keys)
    return keys


def no_samples() -> Iterable[Sample]:
    """What a phase in which people draw learns from beforehand."""
    return []
