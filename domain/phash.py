"""PDQ: a picture's perceptual hash of 256 bits, the one that shared hash lists hold.

Source: Facebook, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing algorithm", 2019.
Luminance is smoothed by a tent as wide as the reduction asks for and sampled at 64 x 64; the lowest
16 x 16 terms of a cosine transform without the constant ones are compared to their median.
Smoothing, sampling and transform are all linear, so each is one small matrix a side.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SIDE: Final = 64
_TERMS: Final = 16
_LUMA: Final = (0.299, 0.587, 0.114)
_QUALITY_DIVISOR: Final = 90
_LEAST_QUALITY: Final = 50
"""Below it, says the paper, a picture has too little detail: its bits are noise."""

Plane = NDArray[np.float64]


def pdq(rgb: NDArray[np.uint8]) -> str:
    """The hash as 64 hexadecimal digits, "" for a picture with too little detail to have one.

    Args:
        rgb: height x width x 3, sRGB. Hashes are compared between pictures of one size and one
            way of decoding: those of another differ by up to 18 bits.
    """
    luminance = rgb @ np.array(_LUMA)
    rows, columns = (_reduction(extent) for extent in luminance.shape)
    small = rows @ luminance @ columns.T
    if _quality(small) < _LEAST_QUALITY:
        return ""
    cosines = _cosines()
    terms = cosines @ small @ cosines.T
    bits = (terms > np.median(terms)).ravel()
    return np.packbits(bits[::-1]).tobytes().hex()


@lru_cache(maxsize=256)
def _reduction(extent: int) -> Plane:
    """64 x extent: a box smoothed twice, sampled in the middle of each 64th."""
    window = (extent + 2 * _SIDE - 1) // (2 * _SIDE)
    at = np.arange(extent)
    last = at + (window + 2) // 2 - 1
    inside = (at > (last - window)[:, None]) & (at <= last[:, None])
    box = inside / inside.sum(axis=1, keepdims=True)
    sampled = ((np.arange(_SIDE) + 0.5) * extent / _SIDE).astype(np.int64)
    reduction: Plane = box[sampled] @ box
    return reduction


@lru_cache(maxsize=1)
def _cosines() -> Plane:
    """16 x 64: the transform's rows 1 to 16."""
    term = np.arange(1, _TERMS + 1)[:, None]
    place = 2 * np.arange(_SIDE) + 1
    cosines: Plane = np.sqrt(2 / _SIDE) * np.cos(np.pi / (2 * _SIDE) * term * place)
    return cosines


def _quality(small: Plane) -> int:
    """How much the 64 x 64 picture changes from place to place, 0 to 100."""
    steps = (np.abs(np.diff(small, axis=axis)) * 100 / 255 for axis in (0, 1))
    return min(100, int(sum(float(np.floor(step).sum()) for step in steps)) // _QUALITY_DIVISOR)
