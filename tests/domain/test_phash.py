"""PDQ on real photographs, against hashes of the reference implementation."""

import numpy as np
import pytest
from PIL import Image

from domain.phash import pdq
from ops.photos import photographs

PHOTOS = {photo.name: path for photo, path in photographs().items()}
REFERENCE = {
    "temple": "bf18cef3407e8678e6833b1937d14066988e5cd20c6eac5f781103f157abf50e",
    "dahlia": "673966dcb772a66499a69a666196a9476599a21b9649a659596624b3e58ea693",
    "terrace": "f9c0b5c9f34f5836b078e63e3dbc384cb9e56fdb4b1b0e1a4236c28542c5d08c",
    "ukulele": "2496f3a1264dcd9621792b0948d56795992babcb8e9766e4db2a31ec664339e5",
}
"""Of the photographs within 640 x 640 by Pillow, by facebook/ThreatExchange's C++."""


def small(name: str) -> Image.Image:
    with Image.open(PHOTOS[name]) as image:
        picture = image.convert("RGB")
    picture.thumbnail((640, 640))
    return picture


def apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("name", REFERENCE)
def test_the_hash_is_the_reference_s(name: str) -> None:
    assert apart(pdq(np.asarray(small(name))), REFERENCE[name]) <= 2


def test_a_small_change_moves_few_bits_and_another_picture_many() -> None:
    picture = small("temple")
    hashed = pdq(np.asarray(picture))
    brighter = picture.point(lambda level: min(255, level + 8))
    assert apart(hashed, pdq(np.asarray(brighter))) <= 16
    assert apart(hashed, pdq(np.asarray(picture.resize((320, 214))))) <= 31
    assert apart(hashed, pdq(np.asarray(small("dahlia")))) > 90


@pytest.mark.parametrize("size", [(1, 1), (8, 640), (640, 480)])
def test_a_picture_without_detail_has_none(size: tuple[int, int]) -> None:
    assert pdq(np.asarray(Image.new("RGB", size, "teal"))) == ""
