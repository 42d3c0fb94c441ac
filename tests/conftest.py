"""What every test runs under: one CPU thread and a fixed seed."""

import pytest
import torch

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
