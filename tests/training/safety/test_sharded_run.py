"""FSDP2 on two processes: a whole run, its checkpoints, and the weights that it leaves."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam
from sam_train.training.safety.checkpoints import checkpoint_folder, sealed

pytestmark = pytest.mark.filterwarnings("ignore")  # of Lightning and of gloo

Train = Callable[..., Sam]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def rank_main(rank: int, port: int, train: Train, folder: Path) -> None:
    """One rank of two, as torchrun starts it."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
    sizes = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {name: str(value) for name, value in (places | sizes | meeting).items()}
    strategy = ModelParallelStrategy(
        save_distributed_checkpoint=False, process_group_backend="gloo"
    )
    train(folder, ranks=2, strategy=strategy)


def on_two_ranks(train: Train, folder: Path) -> None:
    context, port = multiprocessing.get_context("fork"), free_port()
    ranks = [context.Process(target=rank_main, args=(rank, port, train, folder)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0


@pytest.mark.slow
def test_a_sharded_run_leaves_the_weights_of_one_without_shards_and_goes_on_from_its_checkpoints(
    train: Train, tmp_path: Path
) -> None:
    on_two_ranks(train, tmp_path / "sharded")
    sharded = load_model(tmp_path / "sharded" / "model.safetensors")
    train(tmp_path / "whole", ranks=2)
    whole = load_model(tmp_path / "whole" / "model.safetensors")
    torch.testing.assert_close(sharded.state_dict(), whole.state_dict(), rtol=1e-2, atol=2e-3)

    (tmp_path / "sharded" / "model.safetensors").unlink()
    sealed(checkpoint_folder(tmp_path / "sharded"))[0].unlink()  # of the last step
    on_two_ranks(train, tmp_path / "sharded")
    resumed = load_model(tmp_path / "sharded" / "model.safetensors")
    torch.testing.assert_close(resumed.state_dict(), sharded.state_dict(), rtol=0, atol=0)
