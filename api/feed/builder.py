"""Builds cold sets: PostgreSQL's graph and Cassandra's posts into Redis (seed section 6)."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import structlog

from api.feed.durable import DurableFeed
from api.resilience.breakers import Breaker, Breakers
from domain.entities import Cursor, FeedEntry
from domain.ports.feeds import Timelines
from domain.ports.graph import Celebrities, Follows
from domain.ports.photos import Photos
from domain.settings import Feed

_log = structlog.get_logger()


class BuildStores(Protocol):
    """The ports that sets are built from and into."""

    @property
    def follows(self) -> Follows:
        """The graph."""

    @property
    def celebrities(self) -> Celebrities:
        """Who is pulled."""

    @property
    def photos(self) -> Photos:
        """Posts, durably."""

    @property
    def timelines(self) -> Timelines:
        """The feed sets."""

    @property
    def pulls(self) -> Timelines:
        """The celebrities' own newest posts."""


@dataclass(slots=True)
class Build:
    """A build under way: `task` says in the end whether the set is built, or was voided."""

    task: "asyncio.Task[bool]"
    source: DurableFeed | None = None

    def so_far(self) -> list[FeedEntry]:
        """The entries found by now, with gaps; empty while it waits for its turn."""
        return self.source.so_far() if self.source else []


@dataclass(frozen=True, slots=True)
class _Guarded:
    """Posts of one user after the other, as long as the store answers."""

    photos: Photos
    breaker: Breaker

    async def by_user(self, user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """As the port's. Raises StoreAway at once while the store isn't asked."""
        return await self.breaker.run(self.photos.by_user, user_id, before, limit)


class FeedBuilder:
    """Starts builds, one a set at a time and few altogether, and lets them run to their end."""

    def __init__(self, stores: BuildStores, feed: Feed, breakers: Breakers) -> None:
        self._stores = stores
        self._breakers = breakers
        self._cap = feed.cap
        self._running: dict[tuple[str, str], Build] = {}
        self._slots = asyncio.Semaphore(feed.builds_at_once)

    def feed(self, user_id: str) -> Build:
        """The build of this user's feed, which may be under way already."""
        return self._start("feed", user_id)

    def pull_list(self, author_id: str) -> Build:
        """The build of this author's own list."""
        return self._start("pulls", author_id)

    def _start(self, kind: str, user_id: str) -> Build:
        key = kind, user_id
        if key not in self._running:
            work = self._build_feed(user_id) if kind == "feed" else self._build_pulls(user_id)
            build = Build(asyncio.create_task(work, name=f"build {kind} {user_id}"))
            build.task.add_done_callback(lambda task: self._done(key, task))
            self._running[key] = build
        return self._running[key]

    def _done(self, key: tuple[str, str], task: "asyncio.Task[bool]") -> None:
        """A failure is the waiting readers' to answer; who no longer waits leaves it to the log."""
        del self._running[key]
        if not task.cancelled() and (error := task.exception()):
            _log.warning("feed_build.failed", set=key[0], error=repr(error))

    async def _build_feed(self, user_id: str) -> bool:
        """Mark first, read then: what is posted or followed meanwhile is pushed to the mark.

        So is the news that an author is pulled from now on: read before the mark it could be lost.
        """
        stores = self._stores
        async with self._slots:
            token = await stores.timelines.begin_build(user_id)
            graph = self._breakers["postgres"]
            followees = await graph.run(stores.follows.following, user_id)
            pulled = await graph.run(stores.celebrities.pulled_among, followees)
            photos = _Guarded(stores.photos, self._breakers["cassandra"])
            source = DurableFeed(photos, followees, None, self._cap)
            self._running["feed", user_id].source = source
            entries = await source.read()
            return await stores.timelines.finish_build(user_id, token, entries, pulled)

    async def _build_pulls(self, author_id: str) -> bool:
        async with self._slots:
            token = await self._stores.pulls.begin_build(author_id)
            by_user = self._stores.photos.by_user
            entries = await self._breakers["cassandra"].run(by_user, author_id, None, self._cap)
            return await self._stores.pulls.finish_build(author_id, token, entries)

    async def close(self) -> None:
        """Give up what is under way; the next read starts anew."""
        tasks = [build.task for build in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
