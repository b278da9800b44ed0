"""Exact search for 256-bit hashes within a Hamming distance, by bands.

Sixteen bands of 16 bits: hashes that differ in d bits agree in one band up to d // 16 of them
(pigeonhole). So the entries of that band's buckets, and of those so few bits aside, hold every
match; each of them is then compared whole. About 96 bytes an entry at a million.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

HASH_BYTES: Final = 32
WIDEST: Final = 47
"""Distances above it would visit an eighth of all buckets: a plain scan would be quicker."""
_BANDS: Final = 16
_VALUES: Final = 1 << 16
_BAND = np.arange(_BANDS)[:, None]


class Match(NamedTuple):
    """The nearest entry: its hash, hexadecimal, and how many bits differ."""

    hash: str
    distance: int


class HashIndex:
    """A fixed set of hashes."""

    def __init__(self, hashes: bytes, max_distance: int) -> None:
        """Index `hashes`, 32 bytes each, one after another, for one distance.

        Raises ValueError for a broken length or a distance above WIDEST.
        """
        if not 0 <= max_distance <= WIDEST or len(hashes) % HASH_BYTES:
            raise ValueError(f"{len(hashes)} bytes of hashes, distance {max_distance}")
        self._max_distance = max_distance
        self._flips = _flips(max_distance // _BANDS)
        bands = np.frombuffer(hashes, np.uint16).reshape(-1, _BANDS)
        bands = bands[np.argsort(bands[:, 0], kind="stable")]  # so the first band needs no order
        self._words = bands.view(np.uint64)
        self._order = np.empty((_BANDS - 1, len(bands)), np.uint32)
        self._starts = np.zeros((_BANDS, _VALUES + 1), np.uint32)
        for band in range(_BANDS):
            values = bands[:, band]
            if band:
                self._order[band - 1] = np.argsort(values, kind="stable")
            np.cumsum(np.bincount(values, minlength=_VALUES), out=self._starts[band, 1:])

    def __len__(self) -> int:
        return len(self._words)

    @property
    def size_bytes(self) -> int:
        """Memory of the arrays."""
        return self._words.nbytes + self._order.nbytes + self._starts.nbytes

    def nearest(self, phash: str) -> Match | None:
        """The nearest entry within the distance, None without one. Raises ValueError."""
        wanted = bytes.fromhex(phash)
        if len(wanted) != HASH_BYTES:
            raise ValueError(f"a hash of {len(wanted)} bytes")
        found = self._candidates(np.frombuffer(wanted, np.uint16))
        if not found.size:
            return None
        apart = np.bitwise_count(self._words[found] ^ np.frombuffer(wanted, np.uint64)).sum(axis=1)
        best = int(np.argmin(apart))
        if apart[best] > self._max_distance:
            return None
        return Match(self._words[found[best]].tobytes().hex(), int(apart[best]))

    def _candidates(self, bands: NDArray[np.uint16]) -> NDArray[np.int64]:
        """Rows that agree with `bands` in one of them but for a few bits; some come repeatedly."""
        buckets = bands[:, None] ^ self._flips
        starts = self._starts[_BAND, buckets].astype(np.int64)
        lengths = self._starts[_BAND, buckets.astype(np.int64) + 1] - starts
        first = int(lengths[0].sum())
        starts[1:] += (_BAND[1:] - 1) * len(self)
        lengths = lengths.ravel()
        ends = np.cumsum(lengths)
        steps = np.arange(ends[-1]) - np.repeat(ends - lengths, lengths)
        places = np.repeat(starts.ravel(), lengths) + steps
        return np.concatenate((places[:first], self._order.ravel()[places[first:]]))


def joined(hashes: Iterable[str]) -> bytes:
    """Hexadecimal hashes as the index takes them."""
    return b"".join(bytes.fromhex(each) for each in hashes)


def _flips(most: int) -> NDArray[np.uint16]:
    """Every 16-bit mask with at most so many bits set."""
    masks = np.arange(_VALUES, dtype=np.uint16)
    return masks[np.bitwise_count(masks) <= most]
