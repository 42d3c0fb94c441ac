import multiprocessing
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from sam_train.training.ranks import average_gradients


def exchange(rank: int, folder: Path) -> None:
    """One of two processes: rank 0 has a gradient for the first weight only, rank 1 for both."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
    )
    first, second, frozen = (nn.Parameter(torch.zeros(2, 3)) for _ in range(3))
    frozen.requires_grad = False
    first.grad = torch.full((2, 3), 1.0 + rank)
    if rank == 1:
        second.grad = torch.full((2, 3), 4.0)
    average_gradients([first, second, frozen])
    torch.save([first.grad, second.grad, frozen.grad], folder / f"{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_ranks_average_their_gradients_and_a_missing_one_counts_as_zero(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=exchange, args=(rank, tmp_path)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    for rank in range(2):
        first, second, frozen = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert torch.equal(first, torch.full((2, 3), 1.5))
        assert torch.equal(second, torch.full((2, 3), 2.0))
        assert frozen is None


def test_a_single_process_keeps_its_gradients() -> None:
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.ones(3)
    average_gradients([weight])
    assert torch.equal(weight.grad, torch.ones(3))
