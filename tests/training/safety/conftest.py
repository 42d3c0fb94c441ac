"""A run of eight steps on uneven shards, with one rank or with two forked ones."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.strategies import DDPStrategy, Strategy

from sam_train.data.stream.datamodule import SamDataModule
from sam_train.data.stream.examples import ExampleMaker
from sam_train.modeling.build import build_sam_tiny
from sam_train.modeling.sam import Sam
from sam_train.training.fit import Fit
from sam_train.training.safety.checkpoints import Checkpoints
from sam_train.training.sam_module import SamModule


def small_sam(dim: int) -> Sam:
    torch.manual_seed(0)
    return build_sam_tiny(image_size=64, dim=dim, dropout=0.1, drop_path_rate=0.1)


def quiet_trainer(ranks: int, strategy: Strategy | None) -> Callable[..., Trainer]:
    """Makes a trainer on the CPU; several ranks are forked unless a strategy is given."""
    forked = DDPStrategy(
        start_method="fork", process_group_backend="gloo", timeout=timedelta(seconds=60)
    )
    return partial(
        Trainer,
        accelerator="cpu",
        devices=ranks,
        strategy=strategy or (forked if ranks > 1 else "auto"),
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.fixture
def train(dataset: Path, make_module: Callable[..., SamModule]) -> Callable[..., Sam]:
    """Trains in a folder, or goes on there; what was trained is returned."""

    def module(sam: Sam, **settings: Any) -> SamModule:
        made = make_module({"num_corrections": 1}, **settings)
        made.sam = sam
        return made

    def run(
        folder: Path,
        *callbacks: Callback,
        ranks: int = 1,
        strategy: Strategy | None = None,
        dim: int = 32,
        max_steps: int = 8,
        every_n_steps: int = 2,
        module_settings: dict[str, Any] | None = None,
    ) -> Sam:
        fit = Fit(
            module=partial(module, **module_settings or {}),
            data=partial(
                SamDataModule,
                make_example=ExampleMaker(image_size=64, mask_size=16, flip=True),
                batch_size=2,
            ),
            trainer=quiet_trainer(ranks, strategy),
            callbacks={str(number): callback for number, callback in enumerate(callbacks)},
            loggers={},
            checkpoints=Checkpoints(every_n_steps=every_n_steps),
        )
        sam = small_sam(dim)
        folder.mkdir(exist_ok=True)
        fit(
            sam,
            dataset_root=dataset,
            version="latest",
            output_dir=folder,
            max_steps=max_steps,
            seed=0,
            from_scratch=False,
            origin={"config_sha256": "abc"},
        )
        return sam

    return run


@pytest.fixture
def start_ranks(train: Callable[..., Sam]) -> Callable[..., list[ForkProcess]]:
    """Starts the two processes of a run, as torchrun does."""

    def rank_main(rank: int, port: int, folder: Path, settings: dict[str, Any]) -> None:
        places = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
        sizes = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
        os.environ |= {name: str(value) for name, value in (places | sizes | meeting).items()}
        strategy = DDPStrategy(process_group_backend="gloo", timeout=timedelta(seconds=60))
        train(folder, ranks=2, **{"strategy": strategy} | settings)

    def start(folder: Path, **settings: Any) -> list[ForkProcess]:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        fork = multiprocessing.get_context("fork")
        ranks = [fork.Process(target=rank_main, args=(r, port, folder, settings)) for r in (0, 1)]
        for process in ranks:
            process.start()
        return ranks

    return start
