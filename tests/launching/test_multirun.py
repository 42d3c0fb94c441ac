"""A multirun as a user gives it: what is wrong is told before a job starts; ranks stay apart."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NO_SLURM = {"PATH": str(Path(sys.executable).parent)}


def multirun(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Gives the arguments to a training in a folder of its own."""
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "sam_train.train", "--multirun", *arguments],
        cwd=folder,
        env=os.environ | variables | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["optim.lrr=1,2"], "there is no optim.lrr: did you mean optim.lr?"),
        (["optim.lrr=1", "model=tiny,vit_b"], "there is no optim.lrr: did you mean optim.lr?"),
        (["model=tiny,vitb"], "there is no model=vitb: did you mean vit_b?"),
        (["seed=0,1", "dataset=???"], "dataset (folder with manifests/) is not given: add dataset"),
        (["seed=0,1", "hydra.sweep.subdir=same"], "2 jobs of this sweep have the folder"),
        (["seed=0,1", "hydra.launcher.jobs=0"], "hydra.launcher.jobs is 0"),
        (["seed=0,1", "launcher=slurm"], "needs sbatch, which is not on this machine"),
        (["experiment=search_finetune", "launcher=slurm"], "leave launcher=slurm out"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_a_job_starts(
    arguments: list[str], sentence: str, tmp_path: Path
) -> None:
    result = multirun(tmp_path, "dataset=data", *arguments, **NO_SLURM)

    assert result.returncode == 1
    assert sentence in result.stderr and len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.rglob("job.json"))


def test_a_sweep_says_which_job_failed_and_why(tmp_path: Path) -> None:
    result = multirun(tmp_path, "dataset=gone", "seed=3", "output_dir=sweep")

    assert result.returncode == 1
    assert "1 of 1 jobs did not finish, first job (train: gone is no dataset" in result.stderr


@pytest.mark.slow
def test_each_job_of_a_sweep_has_its_own_ranks_and_one_folder(
    small_training: list[str], tmp_path: Path
) -> None:
    ranks = ["trainer=cpu2", "trainer.strategy.start_method=popen"]
    ranks += ["trainer.strategy.timeout.seconds=900"]
    sweep = ["seed=0,1", "hydra.launcher.jobs=2", "max_steps=3", "output_dir=sweep"]
    result = multirun(tmp_path, *small_training, *ranks, *sweep)

    assert result.returncode == 0, result.stderr
    folders = {path.parent.name for path in tmp_path.rglob("model.safetensors")}
    assert folders == {"seed=0", "seed=1"}
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}
    assert len(list(tmp_path.rglob("train_ddp_process_1.log"))) == 2


@pytest.mark.slow
def test_a_run_takes_the_ranks_of_torchrun(small_training: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    ranks = ["trainer=cpu2", "trainer.strategy.start_method=popen"]
    settings = [*small_training, *ranks, "max_steps=3", f"output_dir={tmp_path}"]
    subprocess.run([*command, "-m", "sam_train.train", *settings], cwd=ROOT, check=True)

    assert (tmp_path / "model.safetensors").exists()
