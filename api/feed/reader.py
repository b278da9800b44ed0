"""Reads a home feed or a profile grid, a page at a time (contract, GET /feed; seed section 6).

A warm read is two sequential round trips to Redis, three with celebrities (I11): the page of the
feed set with its marks; the lists of the celebrities among those followed; then everything that
the page shows, and whether its authors are still followed. A cold feed is built first. Below the
floor of a set the durable stores continue with the same merge and the same cursor. Where to look
while Redis is away is the ladder's to say (`ladder.py`).
"""

import asyncio
from collections.abc import Container, Sequence
from contextlib import aclosing
from typing import Protocol

from api.feed.builder import BuildStores, FeedBuilder
from api.feed.durable import DurableFeed
from api.feed.page import Batches, Completeness, GraphStores, Page, Reading
from api.feed.pulls import PullLists
from api.hydrator import HydrationStores, Hydrator
from api.metrics import feed_step
from api.resilience.best_effort import BestEffort
from api.resilience.breakers import Breakers
from domain.entities import Cursor, FeedEntry
from domain.errors import Transient
from domain.feed import Merged, merged, older, place
from domain.ports.feeds import FeedPage
from domain.settings import Degradation, Feed

NEWS = 100
_SPARE = 4  # entries read beyond a page, for those that turn out to be gone or hidden
_BUILD_LIMIT_S = 2.0


class FeedStores(HydrationStores, BuildStores, GraphStores, Protocol):
    """The ports that feeds are read from."""


class FeedReader:
    """Answers what GET /feed and GET /users/{id}/feed ask for; never fails for an absent store."""

    def __init__(
        self, stores: FeedStores, edge_base: str, feed: Feed, breakers: Breakers | None = None
    ) -> None:
        self._stores = stores
        self._breakers = breakers or Breakers(Degradation())
        self._hydrator = Hydrator(stores, edge_base, self._breakers)
        self._builder = FeedBuilder(stores, feed, self._breakers)
        self._pulls = PullLists(lambda: stores.pulls, self._builder, feed.pull_heads_s)

    async def home(self, viewer_id: str, before: Cursor | None, limit: int) -> Page:
        """The viewer's feed, strictly before the cursor."""
        effort = BestEffort(self._breakers)
        read = Reading(self._stores, self._hydrator, viewer_id, limit, effort)
        size = limit + _SPARE
        page = await self._timeline(read, before, size)
        if page is None and read.effort.whole:
            gathered = await self._build(read)
            if gathered is not None:
                read.completeness = Completeness.REBUILDING
                return await read.collect(older(gathered, before), None)
            page = await self._timeline(read, before, size)
        if page is None and not read.effort.whole:
            return Page([], None, Completeness.DEGRADED)  # the ladder knows where else to look
        found = None if page is None else await self._merged(read, page, before, size)
        first = None if found is None else found.entries
        return await read.collect(first, self._behind(read, found, before, size))

    async def grid(
        self, user_id: str, viewer_id: str, before: Cursor | None, limit: int
    ) -> Page | None:
        """A person's own posts; None when there is no such person."""
        effort, own = BestEffort(self._breakers), frozenset({user_id})
        read = Reading(self._stores, self._hydrator, viewer_id, limit, effort, own)
        page = await read.collect(None, self._durable(read, before, limit + _SPARE))
        if page.posts or await effort.ask("postgres", True, self._stores.users.get)(user_id):
            return page
        return None

    async def news(
        self, viewer_id: str, after: Cursor | None, known: Container[str]
    ) -> list[FeedEntry] | None:
        """Up to NEWS posts of the home feed newer than `after` but those known, newest first.

        None when that can't be told now. One round trip as long as there are none.
        """
        read = Reading(self._stores, self._hydrator, viewer_id, NEWS, BestEffort(self._breakers))
        page = await self._timeline(read, None, NEWS)
        if page is None:
            if read.effort.whole:
                await self._build(read)
            return None
        found = await self._merged(read, page, None, NEWS)
        if found is None:
            return None
        fresh = [
            e for e in found.entries if e.post_id not in known and (not after or place(e) > after)
        ]
        live = await read.shown(fresh) if fresh else []
        return [entry for entry, _ in live] if read.goes_on else None

    async def close(self) -> None:
        """Give up the builds that still run."""
        await self._builder.close()

    async def _timeline(self, read: Reading, before: Cursor | None, size: int) -> FeedPage | None:
        with feed_step("set"):
            ask = read.effort.ask("redis", None, self._stores.timelines.page)
            return await ask(read.viewer_id, before, size)

    async def _build(self, read: Reading) -> list[FeedEntry] | None:
        """Build a cold feed; what was gathered so far when it takes too long or fails."""
        build = self._builder.feed(read.viewer_id)
        with feed_step("build"):
            await asyncio.wait({build.task}, timeout=_BUILD_LIMIT_S)
        if not build.task.done():
            return build.so_far()
        try:
            build.task.result()
        except Transient:
            read.effort.away.add("build")
            return build.so_far()
        return None

    async def _merged(
        self, read: Reading, page: FeedPage, before: Cursor | None, size: int
    ) -> Merged | None:
        """A page of the set and of the lists it names; None when those can't be read."""
        pulled: Sequence[str] = page.celebrities
        if read.hidden:
            pulled = [each for each in pulled if each not in read.hidden]
        lists = await self._pulled(read, pulled, before, size) if pulled else []
        return None if lists is None else merged([page, *lists], size)

    async def _behind(
        self, read: Reading, found: Merged | None, before: Cursor | None, size: int
    ) -> Batches:
        """What follows in the sets, then in the durable stores where the sets can't tell."""
        while found is not None:
            if found.entries:
                before = place(found.entries[-1])
            if len(found.entries) < size:
                if found.cut is None:
                    return
                break
            page = await self._timeline(read, before, size)
            found = None if page is None else await self._merged(read, page, before, size)
            yield [] if found is None else found.entries
        async with aclosing(self._durable(read, before, size)) as batches:
            async for batch in batches:
                yield batch

    async def _pulled(
        self, read: Reading, authors: Sequence[str], before: Cursor | None, size: int
    ) -> list[FeedPage] | None:
        """The celebrities' pages; without some of them the feed isn't whole yet."""
        with feed_step("pulls"):
            pulled = await self._pulls.pages(authors, before, size, read.effort)
        if pulled is None:
            return None
        if not pulled.whole:
            read.completeness = Completeness.REBUILDING
        return pulled.pages

    async def _durable(self, read: Reading, before: Cursor | None, size: int) -> Batches:
        """Entries of everybody followed, from the durable store."""
        nothing: list[FeedEntry] = []
        authors = await read.followees()
        more = True
        while more:
            source = DurableFeed(self._stores.photos, authors, before, size)
            with feed_step("durable"):
                entries = await read.effort.ask("cassandra", nothing, source.read)()
            yield entries
            more = len(entries) == size
            before = place(entries[-1]) if entries else before
