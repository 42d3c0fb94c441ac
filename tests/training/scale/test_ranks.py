"""Two processes on the CPU give the gradients of one that has all images."""

import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

from sam_train.data.stream.collate import Batch
from sam_train.interaction.draws import mix_seeds
from sam_train.modeling.sam import Sam
from sam_train.training.sam_module import SamModule
from sam_train.training.scale.passes import take_images
from sam_train.training.scale.ranks import average_gradients, gradient_norm, sum_over_ranks
from sam_train.training.scale.sharding import shard_encoder

pytestmark = pytest.mark.filterwarnings("ignore")  # of forks and of gloo


def on_two_ranks(work: Callable[..., Any], folder: Path, *arguments: Any) -> Iterator[Any]:
    """Runs `work(rank, *arguments)` in two forked processes and yields their results."""

    def rank_main(rank: int) -> None:
        distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2
        )
        torch.save(work(rank, *arguments), folder / f"{rank}.pt")
        distributed.destroy_process_group()

    ranks = [
        multiprocessing.get_context("fork").Process(target=rank_main, args=(rank,))
        for rank in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
    for rank in range(2):
        yield torch.load(folder / f"{rank}.pt")


@pytest.fixture
def module(make_module: Callable[..., SamModule], vit: Sam) -> SamModule:
    made = make_module()
    made.sam = vit
    return made.eval()


def gradients(module: SamModule) -> dict[str, Tensor]:
    return {
        name: p.grad.full_tensor() if isinstance(p.grad, DTensor) else p.grad
        for name, p in module.sam.named_parameters()
        if p.grad is not None
    }


def learn(rank: int, module: SamModule, batch: Batch, split: int, sharded: bool) -> dict[str, Any]:
    """What a rank has after a step on its images."""
    if sharded:
        mesh = distributed.init_device_mesh(
            "cpu", (1, 2), mesh_dim_names=("data_parallel", "tensor_parallel")
        )
        shard_encoder(module.sam, mesh)
    bounds = ((0, split), (split, len(batch["images"])))[rank]
    module.interact(take_images(batch, *bounds))
    average_gradients(module.sam.parameters())
    norm = gradient_norm(module.sam.parameters())
    return {"gradients": gradients(module), "norm": norm}


def assert_as_one_process(module: SamModule, batch: Batch, folder: Path, **how: Any) -> None:
    torch.manual_seed(0)
    results = list(on_two_ranks(learn, folder, module, batch, how["split"], how["sharded"]))
    module.zero_grad()
    module.interact(batch)
    expected = gradients(module)
    norm = torch.stack([g.square().sum() for g in expected.values()]).sum().sqrt()
    for result in results:
        torch.testing.assert_close(result["norm"], norm)
        for name, gradient in expected.items():
            torch.testing.assert_close(result["gradients"][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("masks", [(1, 9), (4, 4)])
def test_two_ranks_have_the_gradients_of_one_whatever_their_numbers_of_masks(
    module: SamModule, make_batch, tmp_path: Path, masks: tuple[int, int], sharded: bool
) -> None:
    module.annotator.box_probability = 0.5
    assert_as_one_process(module, make_batch(*masks), tmp_path, split=1, sharded=sharded)


def test_a_prompt_of_which_a_rank_has_none_is_learned_from_the_other(
    module: SamModule, make_batch, tmp_path: Path
) -> None:
    batch = make_batch(2, 2)
    first_kinds = iter(range(1000))
    while True:  # seeds with which image 0 gets boxes alone, image 1 points alone
        torch.manual_seed(next(first_kinds))
        batch["object_seeds"] = torch.randint(-(2**62), 2**62, (4,))
        if boxes_first(module, batch).tolist() == [True, True, False, False]:
            break
    assert_as_one_process(module, batch, tmp_path, split=1, sharded=False)


def boxes_first(module: SamModule, batch: Batch) -> Tensor:
    """Which objects get a box as their first prompt in step 0."""
    prompts = module.annotator.first_prompt(
        batch["gt_masks"],
        mix_seeds(batch["object_seeds"], 0),
        sizes=torch.full((4, 2), 16),
        image_size=64,
    )
    return (prompts.point_labels == 2).any(1)


def exchange(rank: int) -> dict[str, Any]:
    """Rank 0 has a gradient for the first weight only, rank 1 for both."""
    first, second, frozen = (nn.Parameter(torch.zeros(2, 3)) for _ in range(3))
    frozen.requires_grad = False
    first.grad = torch.full((2, 3), 1.0 + rank)
    if rank == 1:
        second.grad = torch.full((2, 3), 4.0)
    average_gradients([first, second, frozen])
    sums = sum_over_ranks([1.0, float(rank)], torch.device("cpu"))
    return {"first": first.grad, "second": second.grad, "frozen": frozen.grad, "sums": sums}


def test_ranks_average_their_gradients_and_a_missing_one_counts_as_zero(tmp_path: Path) -> None:
    for result in on_two_ranks(exchange, tmp_path):
        assert torch.equal(result["first"], torch.full((2, 3), 1.5))
        assert torch.equal(result["second"], torch.full((2, 3), 2.0))
        assert result["frozen"] is None
        assert result["sums"] == [2.0, 1.0]


def test_a_single_process_keeps_its_gradients() -> None:
    weight = nn.Parameter(torch.zeros(3))
    weight.grad = torch.ones(3)
    average_gradients([weight])
    assert torch.equal(weight.grad, torch.ones(3))
