"""What every test runs under: one CPU thread, a fixed seed, no limit of time; data; a cluster."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from sam_train.data.images import encode_jpeg
from sam_train.data.records import Sample, annotation_from_rle
from sam_train.data.rle import encode_mask
from sam_train.data.store.manifest import Dataset
from sam_train.data.store.shards import write_shard

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 1 and of 6 grey images; image i has i + 1 masks."""
    root = tmp_path_factory.mktemp("uneven")
    entries = []
    for shard, count in enumerate((1, 6)):
        samples = []
        for image in range(count):
            masks = [np.zeros((64, 64), bool) for _ in range(image + 1)]
            for number, mask in enumerate(masks):
                mask[8 * number : 8 * number + 12, 10:40] = True
            annotations = [annotation_from_rle(encode_mask(m), id=i) for i, m in enumerate(masks)]
            info = {"image_id": image, "width": 64, "height": 64, "file_name": "a.jpg"}
            jpeg = encode_jpeg(np.full((64, 64, 3), 40 * image + shard, np.uint8))
            record = {"image": info, "annotations": annotations}
            samples.append(Sample(f"{shard}-{image}", jpeg, record))
        path = root / "images" / f"grey-{shard:06d}.tar"
        write_shard(path, samples)
        entries.append(Dataset(root).entry(path, source="grey", phase="known"))
    Dataset(root).commit(entries, parent=None, phase="known", round=0)
    return root


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
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MpiDefault=none
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
"""


@pytest.fixture(scope="session")
def slurm_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A controller and a node of two CPUs; jobs of the partition `urgent` preempt those of `all`.

    Its ports are fixed, so there is one at a time on a machine.
    """
    if missing := [name for name in ("munged", "slurmctld", "slurmd") if not shutil.which(name)]:
        pytest.skip(f"no {', '.join(missing)}: apt-get install slurmctld slurmd munge")
    folder = tmp_path_factory.mktemp("slurm")
    host = subprocess.check_output(["hostname", "-s"], text=True).strip()
    user = subprocess.check_output(["id", "-un"], text=True).strip()
    conf = SLURM.format(host=host, user=user, folder=folder)
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
        subprocess.run(["scancel", "--me", "--signal=KILL", "--full"], check=False)
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
