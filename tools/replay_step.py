"""Plays a skipped training step again and says where it stopped being finite.

python -m tools.replay_step outputs/train/nonfinite/step-000000123-rank-0.json
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from sam_train.command_line import one_sentence_errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="what a rank left in RUN/nonfinite/")
    parser.add_argument("--dataset", help="where the run's dataset is now, if it was moved")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    with one_sentence_errors("replay_step"):
        for line in lines_of(replay_file(arguments.file, arguments.dataset, arguments.device)):
            print(line)


def replay_file(file: Path, dataset: str | None, device: str) -> Any:
    """The step, with the model and the data of the config that lies in the run's folder."""
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}; a run names it when it skips a step")
    from hydra.utils import instantiate
    from omegaconf import OmegaConf

    from sam_train.training.safety.replay import read_given, replay

    given = read_given(file)
    cfg = OmegaConf.load(find_config(file))
    fit = instantiate(cfg.fit, _convert_="all")
    sam = instantiate(cfg.model)
    fit.adaptation.apply(sam.train())
    root = dataset or OmegaConf.select(cfg, "dataset")
    if root is None:
        raise ValueError("the run's config names no dataset; add --dataset DIR")
    with tempfile.TemporaryDirectory() as folder:
        data = fit.data(
            dataset=root, version=given["version"], bad_samples=Path(folder) / "bad.jsonl"
        )
        return replay(file, fit.module(sam.to(device)), data, precision=cfg.trainer.precision)


def find_config(file: Path) -> Path:
    """The config of the run: the nearest above the file."""
    for folder in file.resolve().parents:
        if (folder / "config.yaml").is_file():
            return folder / "config.yaml"
    raise FileNotFoundError(f"no folder above {file} holds the run's config.yaml")


def lines_of(step: Any) -> list[str]:
    """What a reader wants to know of a step."""
    given = step.given
    lines = [
        f"step {given['step']}, rank {given['rank']}: {len(given['keys'])} images, "
        f"{len(step.batch['image_index'])} objects, {len(step.rounds)} rounds"
    ]
    lines += step.round_losses()
    broken = list(step.broken_objects()), step.broken_gradients()
    lines += broken[0]
    if broken[1]:
        lines.append(f"gradients that are not finite: {', '.join(broken[1])}")
    return lines if any(broken) else [*lines, "all losses and gradients are finite here"]


if __name__ == "__main__":
    main()
