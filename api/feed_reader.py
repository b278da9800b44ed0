"""Reads a home feed or a profile grid, a page at a time (contract, GET /feed; seed section 6).

A warm read is two sequential round trips to Redis (I11): the page of the feed with the follow set,
then everything that the page shows. A cold feed is built first. Below the floor of the set, and
while Redis is away, the durable stores continue with the same merge and the same cursor.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from api.best_effort import BestEffort
from api.durable_feed import DurableFeed
from api.feed_builder import FeedBuilder
from api.hydrator import HydrationStores, Hydrator
from domain.entities import Cursor, FeedEntry
from domain.errors import Transient
from domain.feed import older, place
from domain.ports.feeds import FeedPage, Timelines
from domain.ports.graph import FollowCache, Follows
from domain.visibility import may_see

_SPARE = 8  # entries read beyond a page, for those that turn out to be gone or hidden
_BUILD_LIMIT_S = 2.0
_DEGRADED_AT_ONCE = 4  # reads past an absent Redis: the durable stores must not fall after it

Batches = AsyncGenerator[list[FeedEntry], None]


class FeedStores(HydrationStores, Protocol):
    """The ports that feeds are read from."""

    @property
    def timelines(self) -> Timelines:
        """The feed sets."""

    @property
    def follow_cache(self) -> FollowCache:
        """The cached follow sets."""

    @property
    def follows(self) -> Follows:
        """The graph."""


class Completeness(StrEnum):
    """What a page can be trusted for."""

    COMPLETE = "complete"
    REBUILDING = "rebuilding"
    DEGRADED = "degraded"


@dataclass(frozen=True, slots=True)
class Page:
    """Posts as JSON objects, newest first; `after` is where the next page starts, if there is one.

    A page that isn't complete and isn't full has no next page: the reader starts over.
    """

    posts: list[bytes]
    after: Cursor | None
    completeness: Completeness


class FeedReader:
    """Answers what GET /feed and GET /users/{id}/feed ask for; never fails for an absent store."""

    def __init__(self, stores: FeedStores, edge_base: str, cap: int) -> None:
        self._stores = stores
        self._hydrator = Hydrator(stores, edge_base)
        self._builder = FeedBuilder(stores.follows, stores.photos, stores.timelines, cap)
        self._degraded = asyncio.Semaphore(_DEGRADED_AT_ONCE)

    async def home(self, viewer_id: str, before: Cursor | None, limit: int) -> Page:
        """The viewer's feed, strictly before the cursor."""
        effort = BestEffort()
        size = limit + _SPARE
        page, follows = await asyncio.gather(
            self._timeline(viewer_id, before, size, effort),
            effort.ask("redis", None, self._stores.follow_cache.following)(viewer_id),
        )
        if follows is None:
            follows = await self._graph(viewer_id, effort)
        read = _Reading(self._hydrator, viewer_id, limit, effort, follows)
        if "redis" in effort.away:
            return await self._past_redis(read, before, size)
        if page is None:
            gathered = await self._build(viewer_id, effort)
            if gathered is not None:
                return await read.collect(_once(older(gathered, before)), Completeness.REBUILDING)
            page = await self._timeline(viewer_id, before, size, effort)
        return await read.collect(self._batches(read, page, before, size))

    async def grid(
        self, user_id: str, viewer_id: str, before: Cursor | None, limit: int
    ) -> Page | None:
        """A person's own posts; None when there is no such person."""
        effort = BestEffort()
        read = _Reading(self._hydrator, viewer_id, limit, effort, frozenset({user_id}))
        page = await read.collect(self._durable(read, before, limit + _SPARE))
        if page.posts or await effort.ask("postgres", True, self._stores.users.get)(user_id):
            return page
        return None

    async def close(self) -> None:
        """Give up the builds that still run."""
        await self._builder.close()

    async def _timeline(
        self, viewer_id: str, before: Cursor | None, size: int, effort: BestEffort
    ) -> FeedPage | None:
        return await effort.ask("redis", None, self._stores.timelines.page)(viewer_id, before, size)

    async def _graph(self, viewer_id: str, effort: BestEffort) -> frozenset[str] | None:
        """The follow set from the graph, cached unless it changed meanwhile; None: can't tell."""
        cache = self._stores.follow_cache
        token = await effort.ask("redis", None, cache.following_token)(viewer_id)
        followees = await effort.ask("postgres", None, self._stores.follows.following)(viewer_id)
        if followees is None:
            return None
        if token is not None:
            await effort.ask("redis", None, cache.put_following)(viewer_id, followees, token)
        return frozenset(followees)

    async def _past_redis(self, read: "_Reading", before: Cursor | None, size: int) -> Page:
        """From the durable stores alone, for a few readers at a time; the others get no posts."""
        if self._degraded.locked():
            return Page([], None, Completeness.DEGRADED)
        async with self._degraded:
            return await read.collect(self._durable(read, before, size))

    async def _build(self, viewer_id: str, effort: BestEffort) -> list[FeedEntry] | None:
        """Build a cold feed; what was gathered so far when it takes too long or fails."""
        build = self._builder.start(viewer_id)
        await asyncio.wait({build.task}, timeout=_BUILD_LIMIT_S)
        if not build.task.done():
            return build.so_far()
        try:
            build.task.result()
        except Transient:
            effort.away.add("build")
            return build.so_far()
        return None

    async def _batches(
        self, read: "_Reading", page: FeedPage | None, before: Cursor | None, size: int
    ) -> Batches:
        """Entries from the set, then from the durable stores where the set can't tell."""
        while page is not None:
            yield page.entries
            if page.entries:
                before = place(page.entries[-1])
            if len(page.entries) < size:
                if page.floor is None:
                    return
                break
            page = await self._timeline(read.viewer_id, before, size, read.effort)
        async with aclosing(self._durable(read, before, size)) as batches:
            async for batch in batches:
                yield batch

    async def _durable(self, read: "_Reading", before: Cursor | None, size: int) -> Batches:
        """Entries of everybody followed, from the durable store."""
        nothing: list[FeedEntry] = []
        more = True
        while more:
            source = DurableFeed(self._stores.photos, read.follows or (), before, size)
            entries = await read.effort.ask("cassandra", nothing, source.read)()
            yield entries
            more = len(entries) == size
            before = place(entries[-1]) if entries else before


@dataclass(frozen=True, slots=True)
class _Reading:
    """One reader's page in the making."""

    hydrator: Hydrator
    viewer_id: str
    limit: int
    effort: BestEffort
    follows: AbstractSet[str] | None

    async def collect(
        self, batches: Batches, completeness: Completeness = Completeness.COMPLETE
    ) -> Page:
        """Fill the page with what is visible and live, and look one post beyond it."""
        live: list[tuple[FeedEntry, bytes]] = []
        async with aclosing(batches):
            async for batch in batches:
                visible = list(filter(self._visible(), batch))
                while visible and len(live) <= self.limit:
                    need = self.limit + 1 - len(live)
                    live += await self.hydrator.posts(visible[:need], self.viewer_id, self.effort)
                    visible = visible[need:]
                if len(live) > self.limit or not self.effort.whole:
                    break
        return self._page(live, completeness)

    def _page(self, live: list[tuple[FeedEntry, bytes]], completeness: Completeness) -> Page:
        if not self.effort.whole:
            completeness = Completeness.DEGRADED
        shown = live[: self.limit]
        unknown = completeness is Completeness.DEGRADED and len(shown) == self.limit
        more = len(live) > self.limit or unknown
        if completeness is Completeness.REBUILDING:
            more = False  # there may be gaps: going on from here would skip them
        after = place(shown[-1][0]) if more else None
        return Page([post for _, post in shown], after, completeness)

    def _visible(self) -> Callable[[FeedEntry], bool]:
        """Who may be seen; while the graph can't be read, whoever fan-out put into the set."""
        follows = self.follows
        if follows is None:
            return lambda _: True
        return lambda entry: may_see(follows, entry.author_id, entry.post_id)


async def _once(entries: list[FeedEntry]) -> Batches:
    yield entries
