"""Entry point: a simulated annotator that works on a running annotation server, over HTTP.

python -m tools.simulate_person pool=scenes log=ana.jsonl 'link="http://127.0.0.1:8077/#token=T"'
"""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from sam_train.command_line import hydra_main

TYPES = {"link": str, "log": str, "patience_s": float}  # of keys that are no constructor's argument


@hydra_main("simulate-person", config_name="simulate_person", types=TYPES, lowest={})
def main(cfg: DictConfig) -> None:
    """Works until no image is left; the masks that came with the pool are what it draws."""
    # Imported here: what is wrong with the config is told before torch is loaded.
    from data_engine.people.simulated.connection import Connection
    from data_engine.people.simulated.work_log import WorkLog, summary

    connection = Connection(cfg.link, patience_s=cfg.patience_s)
    pool = instantiate(cfg.pool, _convert_="all")
    log = WorkLog(Path(cfg.log))
    build_person = instantiate(cfg.person, _convert_="all")
    build_person(connection=connection, known_masks=pool.known_masks, note=log).work()
    print(summary(log.path))


if __name__ == "__main__":
    main()
