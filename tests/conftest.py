"""What every test runs under: one CPU thread, a fixed seed, and no limit of time."""

import hypothesis
import pytest
import torch

torch.set_num_threads(1)  # tiny tensors: more threads only wait for each other
hypothesis.settings.register_profile("no deadline", deadline=None)
hypothesis.settings.load_profile("no deadline")


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)
