"""Pictures that occur more than once: equal pixels, or an alike fingerprint."""

import hashlib
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import UInt8

BAND_BITS = 16  # fingerprints that differ in at most 3 of 64 bits share one of their 4 bands
NEAR_BITS = 3


@dataclass(frozen=True)
class Fingerprint:
    """What is compared of a picture: a digest of its pixels, and its dHash for near copies."""

    digest: str
    dhash: int | None


@dataclass
class SeenPictures:
    """Finds pictures that were there before: of equal pixels or, where it is given, alike dHash."""

    _keys: dict[str, str] = field(default_factory=dict)
    _alike: dict[tuple[int, int], list[tuple[int, str]]] = field(default_factory=dict)

    def twin_or_add(self, key: str, picture: Fingerprint) -> str | None:
        """The key of the same picture seen before; else remembers this one."""
        twin = self._keys.get(picture.digest)
        if twin is None and picture.dhash is not None:
            twin = self._near_twin_or_add(key, picture.dhash)
        if twin is None:
            self._keys[picture.digest] = key
        return twin

    def _near_twin_or_add(self, key: str, dhash: int) -> str | None:
        bands = [(n, dhash >> n & (1 << BAND_BITS) - 1) for n in range(0, 64, BAND_BITS)]
        for band in bands:
            for other, twin in self._alike.get(band, ()):
                if (dhash ^ other).bit_count() <= NEAR_BITS:
                    return twin
        for band in bands:
            self._alike.setdefault(band, []).append((dhash, key))
        return None


def fingerprint(image: UInt8[np.ndarray, "H W 3"], *, near: bool) -> Fingerprint:
    return Fingerprint(pixel_digest(image), dhash(image) if near else None)


def pixel_digest(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """What only pictures of equal size and pixels share."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def dhash(image: UInt8[np.ndarray, "H W 3"]) -> int:
    """64 bits, one per neighbouring pair of a 9 x 8 grey thumbnail: whether it gets brighter."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    brighter = thumbnail[:, 1:] > thumbnail[:, :-1]
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")
