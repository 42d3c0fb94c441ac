"""Pictures that occur more than once: equal pixels, or an alike fingerprint."""

import hashlib
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import UInt8

BAND_BITS = 16  # fingerprints that differ in at most 3 of 64 bits share one of their 4 bands
NEAR_BITS = 3


@dataclass
class SeenPictures:
    """Finds pictures that were there before: equal pixels or, with `near`, an alike dHash."""

    near: bool
    _keys: dict[str, str] = field(default_factory=dict)
    _alike: dict[tuple[int, int], list[tuple[int, str]]] = field(default_factory=dict)

    def twin_or_add(self, key: str, image: UInt8[np.ndarray, "H W 3"]) -> str | None:
        """The key of the same picture seen before; else remembers this one."""
        digest = pixel_digest(image)
        twin = self._keys.get(digest)
        if twin is None and self.near:
            twin = self._near_twin_or_add(key, dhash(image))
        if twin is None:
            self._keys[digest] = key
        return twin

    def _near_twin_or_add(self, key: str, fingerprint: int) -> str | None:
        bands = [(n, fingerprint >> n & (1 << BAND_BITS) - 1) for n in range(0, 64, BAND_BITS)]
        for band in bands:
            for other, twin in self._alike.get(band, ()):
                if (fingerprint ^ other).bit_count() <= NEAR_BITS:
                    return twin
        for band in bands:
            self._alike.setdefault(band, []).append((fingerprint, key))
        return None


def pixel_digest(image: UInt8[np.ndarray, "H W 3"]) -> str:
    """What only pictures of equal size and pixels share."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()


def dhash(image: UInt8[np.ndarray, "H W 3"]) -> int:
    """64 bits, one per neighbouring pair of a 9 x 8 grey thumbnail: whether it gets brighter."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA)
    brighter = thumbnail[:, 1:] > thumbnail[:, :-1]
    return int.from_bytes(np.packbits(brighter).tobytes(), "big")
