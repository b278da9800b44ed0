"""ThumbHash: a picture's placeholder in about 25 bytes (Evan Wallace, 2023; opaque pictures).

The luminance and two chroma channels are kept as the lowest terms of a cosine transform, one
byte-packed nibble a term.
"""

import base64

import numpy as np
from numpy.typing import NDArray

_MAX_TERMS = 7
_CHROMA_TERMS = 3
_MAX_SIDE = 100

Channel = NDArray[np.float64]


def thumbhash(rgb: NDArray[np.uint8]) -> str:
    """Base64 of the ThumbHash of an opaque picture.

    Args:
        rgb: height x width x 3, sRGB, at most 100 pixels a side.

    Raises:
        ValueError: the picture is larger.
    """
    height, width = rgb.shape[:2]
    if max(width, height) > _MAX_SIDE:
        raise ValueError(f"thumbhash takes at most {_MAX_SIDE} pixels a side")
    red, green, blue = np.moveaxis(rgb.astype(np.float64) / 255, 2, 0)
    terms_x, terms_y = (
        max(1, _round(_MAX_TERMS * side / max(width, height))) for side in (width, height)
    )
    l_dc, l_ac, l_scale = _encode((red + green + blue) / 3, max(3, terms_x), max(3, terms_y))
    p_dc, p_ac, p_scale = _encode((red + green) / 2 - blue, _CHROMA_TERMS, _CHROMA_TERMS)
    q_dc, q_ac, q_scale = _encode(red - green, _CHROMA_TERMS, _CHROMA_TERMS)
    landscape = width > height
    head = (
        _round(63 * l_dc)
        | _round(31.5 + 31.5 * p_dc) << 6
        | _round(31.5 + 31.5 * q_dc) << 12
        | _round(31 * l_scale) << 18
        | (terms_y if landscape else terms_x) << 24
        | _round(63 * p_scale) << 27
        | _round(63 * q_scale) << 33
        | landscape << 39
    )
    nibbles = [_round(15 * term) for term in (*l_ac, *p_ac, *q_ac)]
    nibbles += [0] * (len(nibbles) % 2)
    packed = bytes(low | high << 4 for low, high in zip(nibbles[::2], nibbles[1::2], strict=True))
    return base64.b64encode(head.to_bytes(5, "little") + packed).decode("ascii")


def _encode(channel: Channel, terms_x: int, terms_y: int) -> tuple[float, list[float], float]:
    """(mean, the other terms scaled to 0..1, their largest magnitude) of a cosine transform."""
    height, width = channel.shape
    across, down = _cosines(width, terms_x), _cosines(height, terms_y)
    terms = down @ channel @ across.T / (width * height)
    kept = [
        float(terms[y, x])
        for y in range(terms_y)
        for x in range(terms_x)
        if x * terms_y < terms_x * (terms_y - y)
    ]
    mean, rest = kept[0], kept[1:]
    scale = max(abs(term) for term in rest)
    return mean, [0.5 + 0.5 / scale * term if scale else term for term in rest], scale


def _cosines(samples: int, terms: int) -> Channel:
    """Terms x samples: the cosine of each term at each sample's middle."""
    grid = np.outer(np.arange(terms), np.arange(samples) + 0.5)
    return np.cos(np.pi / samples * grid)


def _round(value: float) -> int:
    """Half up, as the format's reference rounds (Python rounds half to even)."""
    return int(value + 0.5)
