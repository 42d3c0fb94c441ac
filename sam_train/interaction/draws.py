"""Random draws that belong to an object: the same on any batch, worker, rank or device."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

# The constants of SplitMix64 (Steele, Lea, Flood 2014) as signed 64-bit integers.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def mix_seeds(seeds: Int[Tensor, " N"], stream: int) -> Int[Tensor, " N"]:
    """New 64-bit seeds from old ones and the number of a stream (SplitMix64's output function)."""
    offset = (stream + 1) * _GAMMA % 2**64
    x = seeds + (offset - 2**64 if offset >= 2**63 else offset)
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def uniform(seeds: Int[Tensor, " N"], stream: int) -> Float[Tensor, " N"]:
    """One float64 in [0, 1) for every seed; different streams are independent."""
    return _shift_right(mix_seeds(seeds, stream), 11).double() / 2**53


def normal(seeds: Int[Tensor, " N"], stream: int) -> Float[Tensor, " N"]:
    """One standard normal float64 for every seed."""
    return torch.special.ndtri(uniform(seeds, stream).clamp(min=2.0**-53))


def _shift_right(x: Int[Tensor, " N"], bits: int) -> Int[Tensor, " N"]:
    """The logical shift; torch's is arithmetic."""
    return (x >> bits) & (2 ** (64 - bits) - 1)
