"""A home feed whatever is away: step by step down to an empty page, never an error.

1. The usual read (`FeedReader`): caches, with the durable stores behind them.
2. The same read from a replica of the cache, where one is configured.
3. The viewer's last good first page, at most a minute old (`LastPages`).
4. The few most recent posts straight from the durable stores, within a budget.
5. An empty page that says `degraded`.

What is away is known by the breakers, so that the upper steps cost no waiting. Feed reads beyond
`reads_in_flight` are refused: there is no queue that could grow. See docs/decisions/0017.
"""

import random
import time
from collections.abc import Container
from dataclasses import replace
from enum import StrEnum

from anyio import CapacityLimiter, WouldBlock

from api import metrics
from api.feed.direct import NOTHING, Direct
from api.feed.follow_changes import FollowChanges
from api.feed.last_pages import LastPages
from api.feed.page import Completeness, Page
from api.feed.reader import FeedReader
from api.problems import UNAVAILABLE, Problem
from api.resilience.breakers import Breakers, State
from domain.entities import Cursor, FeedEntry
from domain.ports.graph import FollowCache
from domain.settings import Degradation

_COME_BACK_S = 3  # at the latest; not all at once


class Source(StrEnum):
    """The step that a page comes from; the metric's label."""

    USUAL = "usual"
    REPLICA = "replica"
    KEPT = "kept"
    DIRECT = "direct"
    NOTHING = "nothing"


_ANSWERED = {
    (completeness, source): metrics.FEED_PAGES.labels(completeness, source)
    for completeness in Completeness
    for source in Source
}


class Ladder:
    """Answers GET /feed from the highest step that holds."""

    def __init__(
        self,
        readers: tuple[FeedReader, FeedReader | None],
        direct: Direct,
        breakers: Breakers,
        settings: Degradation,
        follow_cache: FollowCache,
    ) -> None:
        self._usual, self._replica = readers
        self._direct = direct
        self._breakers = breakers
        self._room = CapacityLimiter(settings.reads_in_flight)
        self._changes = FollowChanges(follow_cache, breakers["redis"])
        self.last = LastPages(settings)

    async def home(self, viewer_id: str, before: Cursor | None, limit: int) -> Page:
        """The viewer's feed, strictly before the cursor.

        Raises Problem (503): too many reads are under way, though every store is there.
        """
        mine = object()
        try:
            self._room.acquire_on_behalf_of_nowait(mine)
        except WouldBlock:
            page, source = self._crowded_out(viewer_id, before, limit)
        else:
            try:
                page, source = await self._home(viewer_id, before, limit)
            finally:
                self._room.release_on_behalf_of(mine)
        _ANSWERED[page.completeness, source].inc()
        return page

    async def news(
        self, viewer_id: str, after: Cursor | None, known: Container[str]
    ) -> list[FeedEntry] | None:
        """As the reader's; None, too, while the cached follow set is older than the graph."""
        if not await self._settled(viewer_id):
            return None
        return await self._usual.news(viewer_id, after, known)

    async def grid(
        self, user_id: str, viewer_id: str, before: Cursor | None, limit: int
    ) -> Page | None:
        """A person's own posts; None when there is no such person. Raises Problem (503)."""
        mine = object()
        try:
            self._room.acquire_on_behalf_of_nowait(mine)
        except WouldBlock:
            return self._refused()
        try:
            return await self._usual.grid(user_id, viewer_id, before, limit)
        finally:
            self._room.release_on_behalf_of(mine)

    async def follows_changed(self, viewer_id: str, *, follow: bool) -> None:
        """Believe nothing from before the viewer followed or unfollowed somebody, just now.

        Waits half a second at most.
        """
        if not follow:
            self.last.unfollowed(viewer_id)
        await self._changes.forget(viewer_id)

    async def close(self) -> None:
        """Give up the builds that still run."""
        await self._usual.close()
        if self._replica is not None:
            await self._replica.close()

    async def _home(self, viewer_id: str, before: Cursor | None, limit: int) -> tuple[Page, Source]:
        if not await self._settled(viewer_id):
            return await self._below(NOTHING, viewer_id, before, limit)
        began = time.monotonic()
        page = await self._usual.home(viewer_id, before, limit)
        if page.completeness is not Completeness.DEGRADED:
            if before is None and page.completeness is Completeness.COMPLETE:
                self.last.keep(viewer_id, page, began)
            return page, Source.USUAL
        return await self._below(page, viewer_id, before, limit)

    async def _settled(self, viewer_id: str) -> bool:
        """Whether nothing older than the last change of whom the viewer follows will be read."""
        changes = self._changes
        return viewer_id not in changes.unforgotten or await changes.settle(viewer_id)

    async def _below(
        self, page: Page, viewer_id: str, before: Cursor | None, limit: int
    ) -> tuple[Page, Source]:
        """The best of the lower steps; a poor page of the usual read is better than none.

        Not for somebody who unfollowed lately: the graph may be what couldn't be asked.
        """
        if self.last.may_be_outdated(viewer_id):
            page = NOTHING
        elif self._replica is not None and not page.posts:
            copy = self.last.without_deleted(await self._replica.home(viewer_id, before, limit))
            if copy.posts or copy.completeness is Completeness.COMPLETE:
                return replace(copy, completeness=Completeness.DEGRADED), Source.REPLICA
        kept = None if before else self._kept(viewer_id, limit)
        if kept is not None and len(kept.posts) > len(page.posts):
            return kept, Source.KEPT
        if page.posts:
            return page, Source.USUAL
        direct = await self._direct.read(viewer_id, before, limit)
        return direct, Source.DIRECT if direct.posts else Source.NOTHING

    def _kept(self, viewer_id: str, limit: int) -> Page | None:
        page = self.last.get(viewer_id, limit)
        return page and replace(page, completeness=Completeness.DEGRADED)

    def _crowded_out(
        self, viewer_id: str, before: Cursor | None, limit: int
    ) -> tuple[Page, Source]:
        """What costs nothing: the kept page, else a refusal. Raises Problem (503)."""
        kept = None if before else self._kept(viewer_id, limit)
        return (kept, Source.KEPT) if kept else (self._refused(), Source.NOTHING)

    def _refused(self) -> Page:
        """While a store is away nothing, but no error. Raises Problem (503) when all are there."""
        metrics.FEED_SHED.inc()
        if any(state is not State.CLOSED for state in self._breakers.states.values()):
            return NOTHING
        seconds = random.randint(1, _COME_BACK_S)  # noqa: S311 - spreads load, guards nothing
        raise Problem(
            UNAVAILABLE,
            "too many feeds are being read; try again",
            headers={"Retry-After": str(seconds)},
        )
