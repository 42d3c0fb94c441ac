import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from sam_train.modeling.sam import Sam
from sam_train.training.losses import MaskLoss
from sam_train.training.safety.nonfinite import NonFiniteSteps

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning's hints

Train = Callable[..., Sam]


class BrokenLoss(MaskLoss):
    """Is not a number as long as it is told so."""

    broken = False

    def forward(self, *tensors: torch.Tensor) -> dict[str, torch.Tensor]:
        losses = super().forward(*tensors)
        return (
            {name: value * torch.nan for name, value in losses.items()} if self.broken else losses
        )


class Break(Callback):
    """Breaks the loss of the last rank in some steps, and keeps the weights after each step."""

    def __init__(self, *steps: int) -> None:
        self.steps = steps

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        last = trainer.global_rank == trainer.world_size - 1
        pl_module.loss.broken = last and trainer.global_step in self.steps

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        file = f"weights-{trainer.global_step}-{trainer.global_rank}.pt"
        torch.save(pl_module.sam.state_dict(), Path(trainer.default_root_dir) / file)


def weights(folder: Path, step: int, rank: int) -> dict[str, torch.Tensor]:
    return torch.load(folder / f"weights-{step}-{rank}.pt")


def test_a_step_that_is_not_finite_on_one_rank_changes_nothing_on_any_and_the_run_goes_on(
    train: Train, tmp_path: Path
) -> None:
    loss = {"loss": BrokenLoss(focal_weight=1.0)}
    train(tmp_path, Break(3), NonFiniteSteps(patience=2), ranks=2, module_settings=loss)
    for rank in range(2):
        before, after, later = (weights(tmp_path, step, rank) for step in (3, 4, 5))
        torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=False)
        assert any(not torch.equal(later[name], after[name]) for name in after)
    given = [
        json.loads((tmp_path / "nonfinite" / f"step-000000003-rank-{r}.json").read_text())
        for r in range(2)
    ]
    assert [each["positions"] for each in given] == [[12, 14], [14, 16]]
    assert (tmp_path / "nonfinite" / given[0]["weights"]).exists()


def test_too_many_such_steps_in_a_row_end_the_run_in_one_sentence(
    train: Train, tmp_path: Path
) -> None:
    loss = {"loss": BrokenLoss(focal_weight=1.0)}
    with pytest.raises(ValueError, match="not finite in 2 steps in a row, up to step 4: lower"):
        train(tmp_path, Break(1, 3, 4, 5), NonFiniteSteps(patience=2), module_settings=loss)
    assert len(list((tmp_path / "nonfinite").glob("*.json"))) == 3


def test_patience_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="patience is 0"):
        NonFiniteSteps(patience=0)
