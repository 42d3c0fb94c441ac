"""FSDP2 on two processes: a whole run, its checkpoints, and the weights that it leaves."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.strategies import ModelParallelStrategy

from sam_train.modeling.checkpoint import load_model
from sam_train.modeling.sam import Sam
from sam_train.training.safety.sealed_files import checkpoint_folder, sealed

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # of Lightning and gloo


def trained(start_ranks: Callable, folder: Path) -> Sam:
    strategy = ModelParallelStrategy(
        save_distributed_checkpoint=False, process_group_backend="gloo"
    )
    for rank in start_ranks(folder, strategy=strategy):
        rank.join()
        assert rank.exitcode == 0
    return load_model(folder / "model.safetensors")


def test_a_sharded_run_leaves_the_weights_of_one_without_shards_and_goes_on_from_its_checkpoints(
    train: Callable[..., Sam], start_ranks: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "sharded"
    sharded = trained(start_ranks, folder)
    whole = train(tmp_path / "whole", ranks=2)
    # Sums in another order; AdamW's first steps make much of the last bits of small gradients.
    weights, expected = (dict(sam.named_parameters()) for sam in (sharded, whole))
    torch.testing.assert_close(weights, expected, rtol=0, atol=5e-3)

    (folder / "model.safetensors").unlink()
    sealed(checkpoint_folder(folder))[0].unlink()  # of the last step
    resumed = trained(start_ranks, folder)
    torch.testing.assert_close(resumed.state_dict(), sharded.state_dict(), rtol=0, atol=0)
