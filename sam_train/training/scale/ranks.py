"""What the processes of a run exchange."""

from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.distributed.tensor import DTensor

BUCKET = 2**24  # numbers in a message; bounds the memory that an exchange takes


def sum_over_ranks(values: Sequence[float], device: torch.device) -> list[float]:
    """The sums of some numbers over all ranks, the same on each of them."""
    message = torch.tensor(values, dtype=torch.float64)
    if not _is_distributed():
        return message.tolist()
    message = message.to(device)
    distributed.all_reduce(message)
    return message.tolist()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Averages gradients over all ranks; a missing one counts as zero.

    Once per step instead of once per backward: a step has a backward for each round, and not
    every parameter has a gradient in each (a batch may hold no box, for example). Sharded
    parameters are left out: FSDP has averaged them.
    """
    if not _is_distributed():
        return
    whole = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)]
    for bucket in _buckets(whole):
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in bucket]
        message = torch.cat([grad.flatten() for grad in grads])
        distributed.all_reduce(message)
        message /= distributed.get_world_size()
        chunks = message.split([grad.numel() for grad in grads])
        for parameter, chunk in zip(bucket, chunks, strict=True):
            parameter.grad = chunk.view_as(parameter)


def gradient_norm(parameters: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
    """The l2 norm of all gradients, the same on every rank once they are averaged.

    So it is finite on all ranks or on none. Of sharded parameters every rank has a part.
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    squares = torch.zeros((), device=grads[0].device if grads else None)
    for grad in grads:
        if not isinstance(grad, DTensor):
            squares = squares + grad.float().square().sum()
    sharded = [grad for grad in grads if isinstance(grad, DTensor)]
    if sharded:
        squares = squares + _sharded_squares(sharded)
    return squares.sqrt()


def scale_gradients(parameters: Iterable[nn.Parameter], factor: float) -> None:
    """Multiplies all gradients, in place."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    torch._foreach_mul_([g.to_local() if isinstance(g, DTensor) else g for g in grads], factor)


def broadcast_weights(module: nn.Module) -> None:
    """Gives every rank the parameters and buffers of rank 0."""
    if _is_distributed():
        for tensor in [*module.parameters(), *module.buffers()]:
            distributed.broadcast(tensor.detach(), src=0)


def _sharded_squares(grads: Sequence[DTensor]) -> Float[Tensor, ""]:
    parts = [grad.to_local().float().square().sum() for grad in grads]
    total = torch.stack(parts).sum()
    distributed.all_reduce(total)
    # Each node has a copy of every shard.
    return total / (distributed.get_world_size() // grads[0].device_mesh.shape[-1])


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and sum(p.numel() for p in bucket) + parameter.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
