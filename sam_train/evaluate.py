"""Entry point: plays the masks of a suite with simulated clicks and writes a report.

python -m sam_train.evaluate checkpoint=MODEL.safetensors suite=scenes
"""

import shlex
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from sam_train.command_line import one_sentence_errors


@hydra.main(config_path="../configs", config_name="evaluate", version_base="1.3")
def main(cfg: DictConfig) -> None:
    with one_sentence_errors("evaluate"):
        evaluate(cfg)


def evaluate(cfg: DictConfig) -> None:
    """Evaluates the checkpoint on every set of the suite, prints the table, writes the report."""
    if missing := sorted(OmegaConf.missing_keys(cfg)):
        raise ValueError(f"{missing[0]} is not given; add {missing[0]}=...")
    checkpoint = checkpoint_file(cfg)
    # Imported here: a missing checkpoint is told before torch is loaded.
    from sam_train.config_types import check_types
    from sam_train.data.store.durable import file_sha256
    from sam_train.evaluation.report import summary_lines
    from sam_train.evaluation.suite import evaluate_suite, load_sam

    check_types(OmegaConf.to_container(cfg, resolve=True))
    image_sets = list(instantiate(cfg.suite.sets))
    output_dir = Path(cfg.output_dir)
    report = evaluate_suite(
        load_sam(checkpoint, model=cfg.model, device=cfg.device),
        image_sets,
        protocol=click_protocol(cfg),
        output_dir=output_dir,
        examples=cfg.examples,
        origin={
            "checkpoint": str(checkpoint),
            "checkpoint_sha256": file_sha256(checkpoint),
            "command": shlex.join(["python", "-m", "sam_train.evaluate", *sys.argv[1:]]),
        },
    )
    print(summary_lines(report))
    print(f"report: {output_dir / 'report.html'}")


def checkpoint_file(cfg: DictConfig) -> Path:
    """The file to evaluate; says what is wrong with it before anything is loaded."""
    path = Path(cfg.checkpoint)
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint file {path}; check checkpoint=PATH")
    if path.suffix != ".safetensors" and cfg.model is None:
        raise ValueError(f"{path} does not say what it is; add model=vit_b, vit_l or vit_h")
    return path


def click_protocol(cfg: DictConfig) -> dict[str, Any]:
    """The numbers of the protocol; the disc's radius is measured if a dataset is named."""
    from sam_train.evaluation.floors import training_radius

    protocol: Any = OmegaConf.to_container(cfg.protocol, resolve=True)
    if cfg.radius_from is not None:
        protocol["disc_radius"] = training_radius(Path(cfg.radius_from))
    return protocol


if __name__ == "__main__":
    main()
