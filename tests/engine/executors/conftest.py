"""A job over a pool, its workers, and a Slurm cluster on this machine."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data_engine.annotation.annotators import NoAnnotator
from data_engine.annotation.provenance import Stamp
from data_engine.executors.executor import Executor
from data_engine.phase_run import PhaseRun
from data_engine.phases.claim import is_held, read_attempts
from data_engine.pool import Pool
from data_engine.single_phase import annotate_pool
from sam_train.data.scenes import SceneSet
from sam_train.data.store.bad_samples import BadSampleLog
from sam_train.data.store.manifest import Dataset
from sam_train.modeling.sam import Sam

SLURM = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def job(phases: dict[str, Callable[..., Any]], sam: Sam) -> Callable[[Path, Executor], None]:
    """The fully automatic phase over 48 drawn scenes in 12 shards."""
    torch.set_num_threads(1)  # as in the workers

    def run(run_dir: Path, executor: Executor) -> None:
        pool = Pool([SceneSet("scenes", 48, image_size=64)])
        phase_run = PhaseRun(
            dataset=Dataset(run_dir / "dataset"),
            folder=run_dir / "annotate",
            stamp=Stamp("fully_automatic", 0, "model", "config"),
            build_phase=phases["fully_automatic"],
            build_annotator=NoAnnotator,
            known_masks=pool.known_masks,
            executor=executor,
            on_bad=BadSampleLog(run_dir / "bad_samples.jsonl"),
        )
        annotate_pool(pool, sam, phase_run, samples=list, images_per_shard=4)

    return run


@pytest.fixture
def working() -> Callable[[Path], list[int]]:
    """The ids of the processes that are at a shard of a run now."""

    def processes(run_dir: Path) -> list[int]:
        claims = (path for path in run_dir.glob("annotate/*.claim") if is_held(path))
        attempts = (read_attempts(path) for path in claims)
        return [int(made[-1].worker.split(":")[1]) for made in attempts if made]

    return processes


@pytest.fixture
def slurm_cluster(tmp_path: Path) -> Iterator[None]:
    """A controller and a node of it, for as long as a test runs."""
    if missing := [name for name in ("munged", "slurmctld", "slurmd") if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)}: apt-get install slurmctld slurmd munge")
    folder = tmp_path / "slurm"
    folder.mkdir()
    host = subprocess.check_output(["hostname", "-s"], text=True).strip()
    user = subprocess.check_output(["id", "-un"], text=True).strip()
    conf = SLURM.format(host=host, user=user, folder=folder, cpus=os.cpu_count())
    (folder / "slurm.conf").write_text(conf)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    munge = [f"--{name}={folder / file}" for name, file in MUNGE_FILES.items()]
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as daemons:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-i"],
            ["slurmd", "-D", "-N", host],
        ):
            daemons.enter_context(daemon(command, folder))
        wait_until("the node is idle", ["sinfo", "-h", "-o", "%T"], "idle")
        yield
        subprocess.run(["scancel", "--me"], check=True)
        wait_until("no task is left", ["squeue", "-h"], "")


MUNGE_FILES = {
    "key-file": "munge.key",
    "socket": "munge.socket",
    "pid-file": "munged.pid",
    "log-file": "munged.log",
    "seed-file": "munge.seed",
}


@contextlib.contextmanager
def daemon(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / f"{command[0]}.out").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def wait_until(what: str, command: list[str], output: str) -> None:
    for _ in range(120):
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip() == output:
            return
        time.sleep(0.5)
    raise TimeoutError(f"not so after a minute: {what} ({answer.stdout or answer.stderr})")
