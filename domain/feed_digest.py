"""Digests of feeds: equal feeds have equal ones, whoever made them and in whatever order (I2)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from domain.entities import FeedEntry

_BITS = 256


def digest(entries: Iterable[FeedEntry]) -> str:
    """SHA-256 of a feed's entries, newest first, 64 hex digits; the author counts, too."""
    made = hashlib.sha256()
    for entry in sorted(entries, reverse=True):
        made.update(f"{entry.published_at} {entry.post_id} {entry.author_id}\n".encode())
    return made.hexdigest()


@dataclass(slots=True)
class Total:
    """One digest of many feeds, each counted once; their order doesn't matter."""

    value: int = 0

    def add(self, user_id: str, feed: str) -> None:
        """Count one reader's feed, by its digest."""
        each = hashlib.sha256(f"{user_id} {feed}".encode()).digest()
        self.value = (self.value + int.from_bytes(each)) % (1 << _BITS)

    def __str__(self) -> str:
        return f"{self.value:064x}"
