"""Label Studio's run lengths of brush labels: a packed stream of bits (@thi.ng/rle-pack).

The stream holds the bytes R, G, B, A of all pixels in rows, of which only A says what is inside.
Head: 32 bits, the number of bytes; 5, the bits of a value less one; four times 4, the bits of
lengths less one. Then blocks: 1 bit, whether one value is repeated; 2, which of the four sizes the
length has; the length less one; the value, or as many values as the length says.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

VALUE_BITS = 8
LENGTH_BITS = (4, 8, 12, 16)  # those that we write
CHANNELS = 4  # R, G, B, A
HEAD_BITS = 32 + 5 + 4 * 4


def unpack_brush(stream: Sequence[int], size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The mask of (H, W) in a stream of bytes; ValueError if it is broken or of another size."""
    packed = np.asarray(stream)
    if (
        packed.ndim != 1
        or packed.dtype.kind not in "iu"
        or not ((packed >= 0) & (packed < 256)).all()
    ):
        raise ValueError("brush labels must be a list of bytes")
    bits = Bits(packed.astype(np.uint8))
    length, value_bits = bits.number(32), bits.number(5) + 1
    length_bits = [bits.number(4) + 1 for _ in range(4)]
    if length != size[0] * size[1] * CHANNELS or value_bits != VALUE_BITS:
        raise ValueError(
            f"brush labels of {length:,} values of {value_bits} bits are not those of an image of "
            f"{size[1]} x {size[0]} pixels"
        )
    values = np.zeros(length, np.uint8)
    done = 0
    while done < length:
        is_repeated = bits.number(1)
        stop = done + bits.number(length_bits[bits.number(2)]) + 1
        if stop > length:
            raise ValueError(f"brush labels go on after their {length:,} values")
        values[done:stop] = bits.values(1 if is_repeated else stop - done)
        done = stop
    return values.reshape(*size, CHANNELS)[..., 3] > 0


def pack_brush(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """The stream of a mask: all four channels of a pixel are 255 inside and 0 outside."""
    ends = np.flatnonzero(np.diff(mask.ravel(), append=not mask.ravel()[-1])) + 1
    runs = np.diff(ends, prepend=0) * CHANNELS
    values = mask.ravel()[ends - 1]
    text = [f"{mask.size * CHANNELS:032b}{VALUE_BITS - 1:05b}"]
    text += [f"{bits - 1:04b}" for bits in LENGTH_BITS]
    for run, value in zip(runs.tolist(), values.tolist(), strict=True):
        while run > 0:
            length = min(run, 1 << LENGTH_BITS[-1])
            number = next(n for n, bits in enumerate(LENGTH_BITS) if length <= 1 << bits)
            text.append(f"1{number:02b}{length - 1:0{LENGTH_BITS[number]}b}{255 * value:08b}")
            run -= length
    bits = np.frombuffer("".join(text).encode(), np.uint8) - ord("0")
    return np.packbits(bits).tolist()


class Bits:
    """Reads a stream from its start, the highest bit of each byte first."""

    def __init__(self, stream: UInt8[np.ndarray, " B"]) -> None:
        self._bits = np.unpackbits(stream)
        self._powers = 1 << np.arange(32)[::-1]
        self._place = 0

    def number(self, bits: int) -> int:
        return int(self._take(bits) @ self._powers[-bits:])

    def values(self, count: int) -> UInt8[np.ndarray, " V"]:
        return np.packbits(self._take(count * VALUE_BITS))

    def _take(self, count: int) -> UInt8[np.ndarray, " b"]:
        taken = self._bits[self._place : self._place + count]
        if len(taken) < count:
            raise ValueError("brush labels break off before their end")
        self._place += count
        return taken
