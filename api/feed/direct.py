"""The few most recent posts of a feed, straight from the durable stores and within a budget.

For readers whose cache is away: they must not bring the durable stores down after it. A few read
at once, nobody waits for their turn, and each read is bound in time and in partitions.
"""

import asyncio
from typing import Protocol

from anyio import CapacityLimiter, WouldBlock

from api.feed.durable import DurableFeed
from api.feed.page import Completeness, Page
from api.hydrator import Hydrator
from api.resilience.best_effort import BestEffort
from api.resilience.breakers import Breakers
from domain.entities import Cursor, FeedEntry
from domain.feed import place
from domain.ports.graph import Follows
from domain.ports.photos import Photos
from domain.settings import Degradation

DIRECT_POSTS = 5
NOTHING = Page([], None, Completeness.DEGRADED)
_AUTHORS = 200  # each is a partition to be read


class DirectStores(Protocol):
    """What the few most recent posts are found in."""

    @property
    def follows(self) -> Follows:
        """The graph."""

    @property
    def photos(self) -> Photos:
        """Posts, durably."""


class Direct:
    """The few most recent posts of somebody's feed, past the caches."""

    def __init__(
        self, stores: DirectStores, hydrator: Hydrator, breakers: Breakers, settings: Degradation
    ) -> None:
        self._stores = stores
        self._hydrator = hydrator
        self._breakers = breakers
        self._budget_s = settings.direct_budget_s
        self._room = CapacityLimiter(settings.direct_reads)

    async def read(self, viewer_id: str, before: Cursor | None, limit: int) -> Page:
        """At most DIRECT_POSTS posts; none when the budget is used up, or others are at it.

        The page goes on only if all authors were read: else it may have gaps that a reader who
        goes on from it would never see filled.
        """
        mine = object()
        try:
            self._room.acquire_on_behalf_of_nowait(mine)
        except WouldBlock:
            return NOTHING
        try:
            async with asyncio.timeout(self._budget_s):
                return await self._read(viewer_id, before, min(limit, DIRECT_POSTS))
        except TimeoutError:
            return NOTHING
        finally:
            self._room.release_on_behalf_of(mine)

    async def _read(self, viewer_id: str, before: Cursor | None, limit: int) -> Page:
        effort = BestEffort(self._breakers)
        nobody: list[str] = []
        graph = effort.ask("postgres", nobody, self._followees)
        authors = await graph(viewer_id)
        few = authors[:_AUTHORS]
        source = DurableFeed(self._stores.photos, few, before, 2 * limit)
        entries, whole = await effort.ask("cassandra", ([], False), self._newest)(source)
        shown = await self._hydrator.posts(entries[: limit + 1], viewer_id, effort)
        more = len(shown) > limit and whole and len(few) == len(authors)
        after = place(shown[limit - 1][0]) if more else None
        return Page([post for _, post in shown[:limit]], after, Completeness.DEGRADED)

    async def _followees(self, viewer_id: str) -> list[str]:
        """Raises TimeoutError after a quarter of the budget."""
        async with asyncio.timeout(self._budget_s / 4):
            return list(await self._stores.follows.following(viewer_id))

    async def _newest(self, source: DurableFeed) -> tuple[list[FeedEntry], bool]:
        """The newest, and whether these are they. Raises TimeoutError: nothing at all was found.

        It has half of the budget; the rest is for what the posts show.
        """
        try:
            async with asyncio.timeout(self._budget_s / 2):
                return await source.read(), True
        except TimeoutError:
            if not (found := source.so_far()):
                raise
            return found, False
