"""The banded index against comparing with everything."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.hash_index import HashIndex, Match, joined

HASHES = st.binary(min_size=32, max_size=32)


def scanned(hashes: list[bytes], query: bytes, max_distance: int) -> int | None:
    """The nearest distance, by comparing with everything."""
    apart = [(int.from_bytes(each) ^ int.from_bytes(query)).bit_count() for each in hashes]
    return min((each for each in apart if each <= max_distance), default=None)


def flipped(one: bytes, bits: list[int]) -> bytes:
    number = int.from_bytes(one)
    for bit in bits:
        number ^= 1 << bit
    return number.to_bytes(32)


@given(
    st.lists(HASHES, max_size=30),
    HASHES,
    st.lists(st.integers(0, 255), max_size=50, unique=True),
    st.sampled_from([0, 1, 15, 16, 31, 32, 47]),
)
def test_it_finds_what_a_scan_finds(
    hashes: list[bytes], seed: bytes, bits: list[int], distance: int
) -> None:
    query = flipped(hashes[0] if hashes else seed, bits)
    found = HashIndex(b"".join(hashes), distance).nearest(query.hex())
    assert (found and found.distance) == scanned(hashes, query, distance)
    if found is not None:
        assert bytes.fromhex(found.hash) in hashes
        assert scanned([bytes.fromhex(found.hash)], query, distance) == found.distance


def test_every_distance_up_to_the_limit_matches_and_none_above() -> None:
    chosen = random.Random(3)  # noqa: S311 - repeatable, not secret
    hashes = [chosen.randbytes(32) for _ in range(500)]
    index = HashIndex(b"".join(hashes), 31)
    for bits in range(40):
        query = flipped(hashes[bits], chosen.sample(range(256), bits))
        wanted = Match(hashes[bits].hex(), bits) if bits <= 31 else None
        assert index.nearest(query.hex()) == wanted


def test_an_empty_list_matches_nothing() -> None:
    assert HashIndex(b"", 31).nearest("00" * 32) is None


def test_hexadecimal_hashes_are_joined() -> None:
    assert len(HashIndex(joined(["00" * 32, "ff" * 32]), 31)) == 2


@pytest.mark.parametrize("broken", ["", "00", "zz" * 32])
def test_a_broken_query_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r"hash of|hexadecimal"):
        HashIndex(bytes(32), 31).nearest(broken)


def test_a_broken_list_is_refused() -> None:
    with pytest.raises(ValueError, match="33 bytes"):
        HashIndex(bytes(33), 31)
