"""The placeholder, read back by the format's own rules."""

import base64
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from domain.thumbhash import thumbhash


def decoded(text: str, width: int, height: int) -> NDArray[np.float64]:
    """Read a ThumbHash the way its published decoder does: height x width x 3, 0..1."""
    data = base64.b64decode(text)
    head24, head16 = int.from_bytes(data[:3], "little"), int.from_bytes(data[3:5], "little")
    l_dc, p_dc, q_dc = (
        (head24 & 63) / 63,
        (head24 >> 6 & 63) / 31.5 - 1,
        (head24 >> 12 & 63) / 31.5 - 1,
    )
    scales = (
        (head24 >> 18 & 31) / 31,
        (head16 >> 3 & 63) / 63 * 1.25,
        (head16 >> 9 & 63) / 63 * 1.25,
    )
    terms = max(3, head16 & 7)
    terms_x, terms_y = (7, terms) if head16 >> 15 else (terms, 7)
    nibbles = [half for byte in data[5:] for half in (byte & 15, byte >> 4)]
    planes = []
    for mean, scale, nx, ny in zip(
        (l_dc, p_dc, q_dc), scales, (terms_x, 3, 3), (terms_y, 3, 3), strict=True
    ):
        plane = np.full((height, width), mean)
        for cy in range(ny):
            for cx in range(nx):
                if (cx or cy) and cx * ny < nx * (ny - cy):
                    across = np.cos(math.pi / width * (np.arange(width) + 0.5) * cx)
                    down = np.cos(math.pi / height * (np.arange(height) + 0.5) * cy)
                    weight = (nibbles.pop(0) / 7.5 - 1) * scale * 2
                    plane += weight * np.outer(down, across)
        planes.append(plane)
    light, p, q = planes
    blue = light - 2 / 3 * p
    red = (3 * light - blue + q) / 2
    picture: NDArray[np.float64] = np.clip(np.stack([red, red - q, blue], axis=2), 0, 1)
    return picture


def test_a_gradient_comes_back() -> None:
    across = np.linspace(0, 255, 64)
    rgb = np.stack(
        [np.tile(across, (48, 1)), np.full((48, 64), 90.0), np.tile(across[::-1], (48, 1))], axis=2
    ).astype(np.uint8)
    back = decoded(thumbhash(rgb), 64, 48)
    assert float(np.abs(back - rgb / 255).mean()) < 0.06


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(8, 100), st.integers(8, 100))
def test_one_colour_comes_back_at_any_size(
    colour: tuple[int, int, int], width: int, height: int
) -> None:
    rgb = np.full((height, width, 3), colour, dtype=np.uint8)
    back = decoded(thumbhash(rgb), width, height)
    assert float(np.abs(back - rgb / 255).max()) < 0.06


def test_it_stays_small() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (100, 75, 3), dtype=np.uint8)
    assert len(base64.b64decode(thumbhash(noise))) <= 28


def test_larger_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 100"):
        thumbhash(np.zeros((101, 10, 3), dtype=np.uint8))
