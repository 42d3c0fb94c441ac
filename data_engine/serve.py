"""Entry point: the annotation server, in which people make masks in a browser.

python -m data_engine.serve pool=folder pool.path=PHOTOS checkpoint=MODEL output_dir=outputs/people
"""

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import hydra_main

if TYPE_CHECKING:
    from data_engine.annotation.provenance import Stamp
    from data_engine.people.tasks.store import Store
    from data_engine.pool import Pool
    from data_engine.service.health import ModelFile
    from data_engine.service.workbench.prefilling import Prefill
    from data_engine.service.workbench.workbench import Workbench
    from sam_train.modeling.sam import Sam

PHASES = ("assisted_manual", "semi_automatic")  # in which people work

# Of the keys that are no constructor's argument.
TYPES = {
    "output_dir": str,
    "checkpoint": str | None,
    "model_type": str | None,
    "device": str | None,
    "threads": int | None,
    "round": int,
    "collect": bool,
    "images_per_shard": int,
    "host": str,
    "port": int,
    "token_days": float,
    "lease_s": float,
    "store_url": str | None,
    "run_dir": str | None,
    "masks_from": str | None,
    "review_share": float,
    "gold_share": float,
    "ahead": int,
    "images_in_memory": int,
    "disk_bytes": int,
}
LOWEST = {"threads": 1, "port": 0, "ahead": 0, "images_in_memory": 1, "images_per_shard": 1}


@hydra_main("data-engine-serve", config_name="serve", types=TYPES, lowest=LOWEST)
def main(cfg: DictConfig) -> None:
    run(cfg)


def run(cfg: DictConfig) -> None:
    """Serves until it is stopped; with `collect` makes a dataset version instead."""
    # Imported here: what is wrong with the config is told before torch is loaded.
    from data_engine.people.tasks.store import Store
    from data_engine.service.health import ModelFile
    from sam_train.evaluation.models.sam import known_checkpoint, load_sam
    from sam_train.run_folder import locked
    from sam_train.threads import set_threads

    values: Any = OmegaConf.to_container(cfg, resolve=True)
    check_shares(values)
    set_threads(cfg.threads)
    phase_of(cfg)
    checkpoint = known_checkpoint(cfg.checkpoint, cfg.model_type)
    pool = instantiate(cfg.pool, _convert_="all")
    output_dir = Path(cfg.output_dir)
    with locked(output_dir / ("collected" if cfg.collect else "serving")):
        store = Store(cfg.store_url or output_dir / "people.sqlite")
        model_file = ModelFile.of(checkpoint)
        sam = load_sam(checkpoint, cfg.model_type, cfg.device)
        if cfg.collect:
            run_collect(cfg, store, pool, sam)
        else:
            run_server(cfg, store, pool, sam, model_file)


def phase_of(cfg: DictConfig) -> str:
    """The phase that people work in."""
    phase = cfg.phase._target_.split(".")[-2]
    if phase not in PHASES:
        raise ValueError(f"people work in {' or '.join(PHASES)}, not in {phase}: phase={PHASES[0]}")
    return phase


def check_shares(values: dict[str, Any]) -> None:
    """Refuses shares that are none, and tasks that nobody could do."""
    for key in ("review_share", "gold_share"):
        if not 0 <= values[key] <= 1:
            raise ValueError(f"{key} is {values[key]}: a share lies between 0 and 1")
    annotators, reviewers = values["annotators"], values["reviewers"] or values["annotators"]
    if unknown := set(reviewers) - set(annotators):
        raise ValueError(f"the reviewer {min(unknown)} is none of annotators={annotators}: add it")
    if values["review_share"] and len(set(annotators)) < 2:
        raise ValueError("nobody reviews their own work: name a second one in annotators=[A,B]")


def stamp_of(cfg: DictConfig) -> "Stamp":
    """What the masks of people under this config have in common."""
    from data_engine.annotation.provenance import Stamp
    from data_engine.run_folder import config_sha256
    from sam_train.data.store.durable import file_sha256

    config: Any = OmegaConf.to_container(cfg)
    decisive = {key: config[key] for key in ("phase", "pool", "checkpoint", "round")}
    phase: Any = phase_of(cfg)
    return Stamp(phase, cfg.round, file_sha256(Path(cfg.checkpoint)), config_sha256(decisive))


def run_collect(cfg: DictConfig, store: "Store", pool: "Pool", sam: "Sam") -> None:
    """Makes a dataset version of what was finished since the last one."""
    from data_engine.accounting.ledger import Ledger, write_ledger
    from data_engine.people.collect import collect
    from sam_train.data.store.bad_samples import BadSampleLog

    output_dir = Path(cfg.output_dir)
    write_ledger(output_dir / "accounting.parquet", Ledger(store, pool.known_masks).entries())
    manifest = collect(
        store,
        pool,
        sam,
        output_dir,
        build_phase=instantiate(cfg.phase),
        stamp=stamp_of(cfg),
        images_per_shard=cfg.images_per_shard,
        on_bad=BadSampleLog(output_dir / "bad_samples.jsonl"),
    )
    if manifest is None:
        print("nothing was finished since the last version")
        return
    masks = sum(entry.mask_count for entry in manifest.shards)
    images = sum(entry.image_count for entry in manifest.shards)
    print(f"version {manifest.version} of {output_dir / 'dataset'}: {images} images, {masks} masks")


def run_server(
    cfg: DictConfig, store: "Store", pool: "Pool", sam: "Sam", model_file: "ModelFile"
) -> None:
    """Prints a link for every annotator and answers until it is stopped."""
    import uvicorn

    from data_engine.service.app import create_app
    from data_engine.service.guard import LOOPBACK
    from data_engine.service.patience import Patience
    from data_engine.service.tokens import Tokens

    output_dir = Path(cfg.output_dir)
    if cfg.host not in LOOPBACK and not cfg.public_names:
        raise ValueError(
            f"host={cfg.host} is reached from outside: say under which names, "
            "public_names=[NAME or address]"
        )
    tokens = Tokens(output_dir / "tokens", cfg.annotators, days=cfg.token_days, clock=time.time)
    with listening(cfg.host, cfg.port) as sock:
        app = create_app(
            build_workbench(cfg, store, pool, sam),
            tokens,
            hosts=LOOPBACK | set(cfg.public_names),
            known_masks=pool.known_masks,
            run_dir=Path(cfg.run_dir) if cfg.run_dir else None,
            model_file=model_file,
        )
        name, port = (cfg.public_names or [cfg.host])[0], sock.getsockname()[1]
        for annotator in cfg.annotators:
            link = f"http://{name}:{port}/#token={tokens.token_of(annotator)}"
            print(f"{annotator}: {link}", flush=True)
        config = uvicorn.Config(
            app, http=Patience, limit_concurrency=200, access_log=False, log_level="warning"
        )
        uvicorn.Server(config).run(sockets=[sock])


def build_workbench(cfg: DictConfig, store: "Store", pool: "Pool", sam: "Sam") -> "Workbench":
    """Puts the images into the queue, and together what answers requests about them."""
    from data_engine.people.follow_up import Reviewing
    from data_engine.people.tasks.gold import gold_images
    from data_engine.people.tasks.queue import Terms
    from data_engine.people.tasks.tasks import first_tasks
    from data_engine.pool import to_sample
    from data_engine.service.workbench.embeddings import Embeddings
    from data_engine.service.workbench.workbench import Rules, Workbench

    stamp = stamp_of(cfg)
    embeddings = Embeddings(
        sam,
        lambda key: to_sample(pool.image(key), image_id=1, with_masks=False).image_bytes,
        Path(cfg.output_dir) / "embeddings" / stamp.model_sha256[:16],
        in_memory=cfg.images_in_memory,
        disk_bytes=cfg.disk_bytes,
    )
    gold = gold_images(pool, cfg.gold_share) if cfg.gold_share else []
    keys, twins = instantiate(cfg.order, _convert_="all")(pool.keys(), embeddings.get)
    tasks = first_tasks(
        keys,
        phase=stamp.phase,
        round=stamp.round,
        gold=gold,
        annotators=cfg.annotators,
    )
    store.add(tasks)
    store.leave_out_twins(twins)
    rules = Rules(
        stamp,
        Terms(cfg.lease_s, cfg.gold_share, frozenset(cfg.reviewers or cfg.annotators)),
        Reviewing(cfg.review_share),
        cfg.phase.duplicate_iou,
    )
    return Workbench(
        store,
        embeddings,
        model_sha256=stamp.model_sha256,
        rules=rules,
        prefill=build_prefill(cfg, store, sam, stamp),
        ahead=cfg.ahead,
    )


def build_prefill(cfg: DictConfig, store: "Store", sam: "Sam", stamp: "Stamp") -> "Prefill | None":
    """What prefills masks: the detector of the semi-automatic phase, trained if it is not yet.

    Nothing where the masks are there already, as in a round of the loop.
    """
    if stamp.phase != "semi_automatic" or not store.lacks_given():
        return None
    if cfg.masks_from is None:
        raise ValueError("the detector needs masks to learn from: add masks_from=DATASET")
    from data_engine.annotation.annotators import NoAnnotator
    from data_engine.annotation.task import TaskPredictor
    from data_engine.service.workbench.prefilling import DetectorPrefill
    from data_engine.single_phase import dataset_samples

    predictor = TaskPredictor(sam.eval())
    phase = instantiate(cfg.phase)(predictor, stamp, NoAnnotator(predictor, stamp, lambda key: []))
    folder = Path(cfg.output_dir) / "detector" / f"{stamp.model_sha256[:16]}"
    phase.prepare(lambda: dataset_samples(Path(cfg.masks_from)), folder)
    return DetectorPrefill(phase)


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; OSError in a sentence if it cannot."""
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise OSError(
            f"{host}:{port} cannot be listened on ({error}): choose another port"
        ) from error


if __name__ == "__main__":
    main()
