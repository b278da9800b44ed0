"""A feed read from the durable stores: many authors' posts, merged lazily (seed section 6)."""

import asyncio
from collections.abc import Collection
from typing import Protocol

from domain.entities import Cursor, FeedEntry
from domain.feed import Read, newest, wanting

_AT_ONCE = 32  # authors read side by side
_PAGE_LEAST, _PAGE_MOST = 10, 100


class PostsByUser(Protocol):
    """What a feed needs of `domain.ports.photos.Photos`."""

    async def by_user(self, user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """Live posts of a user, newest first, strictly before the cursor."""


class DurableFeed:
    """The newest `limit` posts of some authors before a cursor, as one read.

    It asks each author for a page and then, again and again, only those whose next page may
    still change the result. `so_far` may be looked at while it runs.
    """

    def __init__(
        self, photos: PostsByUser, authors: Collection[str], before: Cursor | None, limit: int
    ) -> None:
        self._photos = photos
        self._before = before
        self._limit = limit
        self._reads = {author: Read() for author in authors}
        share = 2 * limit // max(1, len(authors))
        self._page = min(_PAGE_MOST, limit, max(_PAGE_LEAST, share))
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def read(self) -> list[FeedEntry]:
        """Newest first; fewer than `limit` when there are no more. Raises StoreAway, Transient."""
        while authors := wanting(self._reads, self._limit):
            await asyncio.gather(*map(self._read_on, authors))
        return self.so_far()

    def so_far(self) -> list[FeedEntry]:
        """What has been found by now; there may be gaps until `read` has returned."""
        return newest(self._reads, self._limit)

    async def _read_on(self, author: str) -> None:
        read = self._reads[author]
        async with self._slots:
            page = await self._photos.by_user(author, read.oldest or self._before, self._page)
        self._reads[author] = read.then(page, self._page)
