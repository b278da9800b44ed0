"""How alike two pictures are: structural similarity (Wang et al., 2004)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_WINDOW = 7
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Plane = NDArray[np.float64]


def ssim(one: Image.Image, other: Image.Image) -> float:
    """Mean over all 7 x 7 windows and the three channels; 1 for equal pictures, 0 if sizes differ.

    Sample covariances and a uniform window, as scikit-image's default.
    """
    if one.size != other.size:
        return 0.0
    first, second = (np.asarray(image.convert("RGB"), dtype=np.float64) for image in (one, other))
    return float(np.mean([_similarity(first[..., at], second[..., at]) for at in range(3)]))


def _similarity(x: Plane, y: Plane) -> float:
    mean_x, mean_y = _means(x), _means(y)
    sample = _WINDOW**2 / (_WINDOW**2 - 1)
    variance_x = sample * (_means(x * x) - mean_x**2)
    variance_y = sample * (_means(y * y) - mean_y**2)
    covariance = sample * (_means(x * y) - mean_x * mean_y)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float((luminance * structure).mean())


def _means(plane: Plane) -> Plane:
    """The mean of every window that lies wholly inside."""
    sums: NDArray[Any] = np.pad(plane, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    w = _WINDOW
    means: Plane = (sums[w:, w:] - sums[:-w, w:] - sums[w:, :-w] + sums[:-w, :-w]) / w**2
    return means
