"""Entry point: the annotation server, in which people make masks in a browser.

python -m data_engine.serve pool=folder pool.path=PHOTOS checkpoint=MODEL output_dir=outputs/people
"""

import socket
import time
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import hydra_main

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
    "ahead": int,
    "images_in_memory": int,
    "disk_bytes": int,
}


@hydra_main("data-engine-serve", config_name="serve")
def main(cfg: DictConfig) -> None:
    run(cfg)


def run(cfg: DictConfig) -> None:
    """Serves until it is stopped; with `collect` makes a dataset version instead."""
    for key in sorted(OmegaConf.missing_keys(cfg)):
        raise ValueError(f"{key} must be given: add {key}=VALUE")

    # Imported here: a missing value is told before torch is loaded.
    from data_engine.people.store import Store
    from sam_train.config_types import check_types, check_values
    from sam_train.evaluation.models.sam import known_checkpoint, load_sam
    from sam_train.run_folder import locked
    from sam_train.threads import set_threads

    values: Any = OmegaConf.to_container(cfg, resolve=True)
    check_values(values, TYPES)
    check_types(values)
    set_threads(cfg.threads)
    checkpoint = known_checkpoint(cfg.checkpoint, cfg.model_type)
    pool = instantiate(cfg.pool, _convert_="all")
    output_dir = Path(cfg.output_dir)
    with locked(output_dir / ("collected" if cfg.collect else "serving")):
        store = Store(output_dir / "people.sqlite")
        store.add_images(pool.keys())
        sam = load_sam(checkpoint, cfg.model_type, cfg.device)
        if cfg.collect:
            run_collect(cfg, store, pool, sam)
        else:
            run_server(cfg, store, pool, sam)


def run_collect(cfg: DictConfig, store: Any, pool: Any, sam: Any) -> None:
    """Makes a dataset version of what was saved since the last one."""
    from data_engine.annotation.provenance import Stamp
    from data_engine.people.collect import collect
    from data_engine.run_folder import config_sha256
    from sam_train.data.store.bad_samples import BadSampleLog
    from sam_train.data.store.durable import file_sha256

    output_dir, phase = Path(cfg.output_dir), cfg.phase._target_.split(".")[-2]
    if phase != "assisted_manual":
        raise ValueError(f"people work in assisted_manual, not in {phase}: leave `phase` out")
    config: Any = OmegaConf.to_container(cfg)
    manifest = collect(
        store,
        pool,
        sam,
        output_dir,
        build_phase=instantiate(cfg.phase),
        stamp=Stamp(phase, cfg.round, file_sha256(Path(cfg.checkpoint)), config_sha256(config)),
        images_per_shard=cfg.images_per_shard,
        on_bad=BadSampleLog(output_dir / "bad_samples.jsonl"),
    )
    if manifest is None:
        print("nothing was saved since the last version")
        return
    masks = sum(entry.mask_count for entry in manifest.shards)
    images = sum(entry.image_count for entry in manifest.shards)
    print(f"version {manifest.version} of {output_dir / 'dataset'}: {images} images, {masks} masks")


def run_server(cfg: DictConfig, store: Any, pool: Any, sam: Any) -> None:
    """Prints a link for every annotator and answers until it is stopped."""
    import uvicorn

    from data_engine.pool import to_sample
    from data_engine.service.app import create_app
    from data_engine.service.embeddings import Embeddings
    from data_engine.service.guard import LOOPBACK
    from data_engine.service.tokens import Tokens
    from data_engine.service.workbench import Workbench
    from sam_train.data.store.durable import file_sha256

    output_dir, model_sha256 = Path(cfg.output_dir), file_sha256(Path(cfg.checkpoint))
    if cfg.host not in LOOPBACK and not cfg.public_names:
        raise ValueError(
            f"host={cfg.host} is reached from outside: say under which names, "
            "public_names=[NAME or address]"
        )
    tokens = Tokens(output_dir / "tokens", cfg.annotators, days=cfg.token_days, clock=time.time)
    embeddings = Embeddings(
        sam,
        lambda key: to_sample(pool.image(key), image_id=1, with_masks=False).image_bytes,
        output_dir / "embeddings" / model_sha256[:16],
        in_memory=cfg.images_in_memory,
        disk_bytes=cfg.disk_bytes,
    )
    workbench = Workbench(
        store, embeddings, model_sha256=model_sha256, lease_s=cfg.lease_s, ahead=cfg.ahead
    )
    app = create_app(workbench, tokens, hosts=LOOPBACK | set(cfg.public_names))
    with listening(cfg.host, cfg.port) as sock:
        name, port = (cfg.public_names or [cfg.host])[0], sock.getsockname()[1]
        for annotator in cfg.annotators:
            link = f"http://{name}:{port}/#token={tokens.token_of(annotator)}"
            print(f"{annotator}: {link}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, limit_concurrency=200)
        uvicorn.Server(config).run(sockets=[sock])


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
