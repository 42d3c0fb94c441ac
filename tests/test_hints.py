"""A command line that is misspelt or mistyped gets the right hint, before torch is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TRAIN, EVALUATE = "sam_train.train dataset=data ", "sam_train.evaluate checkpoint=model "

HINTS = {
    # A key or a group that there is not: the nearest.
    "sam_train.train datset=data": "there is no datset: did you mean dataset?",
    TRAIN + "optim.lrr=1e-3": "there is no optim.lrr: did you mean optim.lr?",
    TRAIN + "lr=1e-3": "there is no lr: did you mean optim.lr?",
    TRAIN + "data.batchsize=4": "did you mean data.batch_size?",
    TRAIN + "modell=tiny": "there is no modell: did you mean model?",
    TRAIN + "pool=folder": "train takes no pool=, engine, serve and simulate_person do",
    "data_engine.serve pool=folder prot=80": "did you mean port?",
    # A choice that there is not.
    TRAIN + "model=vitb": "there is no model=vitb: did you mean vit_b?",
    TRAIN + "model=3": "there is no model=3: there are efficient_sam_s, ",
    "data_engine.run executor=slrum": "there is no executor=slrum: did you mean slurm?",
    # A + too much, or too few.
    TRAIN + "+model=tiny": "model has a choice already: leave out the +, model=tiny",
    TRAIN + "fit.checkpoints.every_n_steps=5": "add it with a +, +fit.checkpoints.every_n",
    TRAIN + "+optim.leyer_decay=.5": "optim takes no leyer_decay: did you mean optim.layer_decay?",
    TRAIN + "+max_stpes=10": "nothing reads max_stpes: did you mean max_steps?",
    # A value of another type.
    TRAIN + "max_steps=many": "max_steps is 'many', but must be int",
    TRAIN + "data.batch_size=2.5": "data.batch_size is 2.5, but must be int",
    TRAIN + "trainer.precision=bf16mixed": "did you mean bf16-mixed",
    "data_engine.run executor.workers=true": "executor.workers is True, but must be int",
    # A value that must be given.
    "sam_train.train": "dataset (folder with manifests/) is not given: add dataset=outputs/",
    EVALUATE + "suite=dataset": "suite.dataset is not given: add suite.dataset=FOLDER",
    "data_engine.run pool=folder": "pool.path is not given: add pool.path=PHOTOS",
    # What is no KEY=VALUE.
    "sam_train.train --dataset=data": "there is no option --dataset: write dataset=data",
    "sam_train.train data": "data has no value: write data=VALUE",
    TRAIN + "optim.optimizer.betas=[0.9": "cannot be read: close brackets",
    TRAIN + "experiment=gone/best.yaml": "there is no file gone/best.yaml",
    "sam_train.train --from data": "data holds no run (no config.yaml): name its output_dir",
}

# Runs several command lines as `python -m` would, each in a fork of a process that has Hydra.
RUNNER = """
import os, runpy, sys
import hydra
for number, line in enumerate(sys.argv[1:]):
    if not os.fork():
        module, *sys.argv[1:] = line.split()
        file = os.open(f"said-{number}", os.O_WRONLY | os.O_CREAT)
        os.dup2(file, 2)
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except SystemExit as ended:
            print(ended.code, file=sys.stderr)
            print("torch" in sys.modules, ended.code not in (0, None), file=sys.stderr, flush=True)
        finally:
            os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The lines of every command line on stderr, and whether torch was loaded and it failed."""
    folder = tmp_path_factory.mktemp("said")
    (folder / "data" / "manifests").mkdir(parents=True)
    run_all(folder)
    texts = [(folder / f"said-{number}").read_text() for number in range(len(HINTS))]
    return {line: text.splitlines() for line, text in zip(HINTS, texts, strict=True)}


def run_all(folder: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", RUNNER, *HINTS],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=300,
    )


@pytest.mark.parametrize("line", HINTS)
def test_a_wrong_command_line_gets_the_right_hint(line: str, said: dict[str, list[str]]) -> None:
    sentence, ending = said[line]

    assert HINTS[line] in sentence
    assert ending == "False True", "torch was loaded, or the command did not fail"
