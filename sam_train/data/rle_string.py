"""COCO's string of run lengths, read many at once.

A character is 48 plus six bits: five of a number, lowest first, and one "more follows". From the
fourth number on, each is the difference to the number two places before.
"""

from collections.abc import Sequence
from typing import NoReturn

import numpy as np
from jaxtyping import Int

_MAX_CHARACTERS = 8  # 40 bits; no run is longer


def read_runs(
    texts: Sequence[str],
) -> tuple[Int[np.ndarray, " R"], Int[np.ndarray, " N"]]:
    """The run lengths of all texts in a row, and where those of each text stop.

    Raises ValueError for what is no such string. Whether the runs fit a mask is not looked at:
    they may be negative.
    """
    encoded = [text.encode(errors="surrogatepass") for text in texts]
    if not all(encoded):
        raise ValueError("Not a compressed RLE: it is empty.")
    numbers, stops = _numbers(encoded)
    start = 0
    for stop in stops.tolist():
        of_text = numbers[start:stop]
        of_text[1::2] = of_text[1::2].cumsum()
        of_text[2::2] = of_text[2::2].cumsum()
        start = stop
    return numbers, stops


def _numbers(
    texts: Sequence[bytes],
) -> tuple[Int[np.ndarray, " R"], Int[np.ndarray, " N"]]:
    """The signed numbers of all texts in a row, and where those of each text stop."""
    codes = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(48)  # below 48 it wraps around
    text_stops = np.cumsum([len(text) for text in texts])
    more_follows = codes > 31
    if codes.max() > 63 or more_follows[text_stops - 1].any():
        broken = codes > 63
        broken[text_stops - 1] |= more_follows[text_stops - 1]
        _refuse(texts, text_stops, int(broken.argmax()))

    last = np.flatnonzero(~more_follows)
    first = np.concatenate([[0], last[:-1] + 1])
    further = last - first  # characters after a number's first
    if further.max() >= _MAX_CHARACTERS:
        _refuse(texts, text_stops, int(first[further.argmax()]))

    shifts = 5 * (np.arange(len(codes)) - np.repeat(first, further + 1))
    numbers = np.add.reduceat((codes & 31).astype(np.int64) << shifts, first)
    numbers -= (codes[last] & 16).astype(np.int64) << 5 * further + 1  # the sign
    return numbers, np.searchsorted(last, text_stops)


def _refuse(texts: Sequence[bytes], stops: Int[np.ndarray, " N"], position: int) -> NoReturn:
    text = texts[int(np.searchsorted(stops, position, side="right"))]
    raise ValueError(f"Not a compressed RLE: {text[:40].decode(errors='replace')!r}.")
