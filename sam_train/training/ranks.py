"""What the processes of a run exchange."""

from collections.abc import Sequence

import torch
from torch import distributed, nn


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Averages gradients over all ranks in one message; a missing one counts as zero.

    Once per step instead of once per backward: a step has a backward for each round, and not
    every parameter has a gradient in each (a batch may hold no box, for example).
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in trained]
    message = torch.cat([grad.flatten() for grad in grads])
    distributed.all_reduce(message)
    message /= distributed.get_world_size()
    chunks = message.split([grad.numel() for grad in grads])
    for parameter, chunk in zip(trained, chunks, strict=True):
        parameter.grad = chunk.view_as(parameter)
