"""Builds cold feeds: PostgreSQL's graph and Cassandra's posts into Redis (seed section 6)."""

import asyncio
from dataclasses import dataclass, field

import structlog

from api.durable_feed import DurableFeed
from domain.entities import FeedEntry
from domain.ports.feeds import Timelines
from domain.ports.graph import Follows
from domain.ports.photos import Photos

_log = structlog.get_logger()
_AT_ONCE = 8  # builds per process; the others queue


@dataclass(slots=True)
class Build:
    """A build under way: `task` says in the end whether the feed is built, or was voided."""

    task: "asyncio.Task[bool]"
    source: DurableFeed | None = None

    def so_far(self) -> list[FeedEntry]:
        """The entries found by now, with gaps; empty while it waits for its turn."""
        return self.source.so_far() if self.source else []


@dataclass(slots=True)
class FeedBuilder:
    """Starts builds, one a user at a time and few altogether, and lets them run to their end."""

    follows: Follows
    photos: Photos
    timelines: Timelines
    cap: int
    _running: dict[str, Build] = field(default_factory=dict, init=False)
    _slots: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE), init=False
    )

    def start(self, user_id: str) -> Build:
        """The build of this user's feed, which may be under way already."""
        if user_id not in self._running:
            build = Build(asyncio.create_task(self._build(user_id), name=f"build {user_id}"))
            build.task.add_done_callback(lambda task: self._done(user_id, task))
            self._running[user_id] = build
        return self._running[user_id]

    def _done(self, user_id: str, task: "asyncio.Task[bool]") -> None:
        """A failure is the waiting readers' to answer; who no longer waits leaves it to the log."""
        del self._running[user_id]
        if not task.cancelled() and (error := task.exception()):
            _log.warning("feed_build.failed", error=repr(error))

    async def _build(self, user_id: str) -> bool:
        """Mark first, read then: what is posted or followed meanwhile is pushed to the mark."""
        async with self._slots:
            token = await self.timelines.begin_build(user_id)
            followees = await self.follows.following(user_id)
            source = DurableFeed(self.photos, followees, None, self.cap)
            self._running[user_id].source = source
            return await self.timelines.finish_build(user_id, token, await source.read())

    async def close(self) -> None:
        """Give up what is under way; the next read starts anew."""
        tasks = [build.task for build in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
