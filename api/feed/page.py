"""One reader's page in the making: filled with what is visible and live (contract, GET /feed)."""

from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import compress
from typing import Protocol

from api.hydrator import Hydrator
from api.metrics import feed_step
from api.resilience.best_effort import BestEffort
from domain.entities import Cursor, FeedEntry
from domain.feed import place
from domain.ports.feeds import Shown
from domain.ports.graph import FollowCache, Follows
from domain.visibility import may_see

Batches = AsyncGenerator[list[FeedEntry], None]


class GraphStores(Protocol):
    """Where it stands who follows whom."""

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


@dataclass(slots=True)
class Reading:
    """What one read wants, and what it has learnt on its way.

    `follows` are those whose posts may be shown: given, or read from the graph when the caches
    don't have it; None as long as nobody needed it whole. `hidden` authors turned out to be
    followed no more.
    """

    stores: GraphStores
    hydrator: Hydrator
    viewer_id: str
    limit: int
    effort: BestEffort
    follows: AbstractSet[str] | None = None
    completeness: Completeness = Completeness.COMPLETE
    hidden: set[str] = field(default_factory=set)

    async def collect(self, first: Sequence[FeedEntry] | None, behind: Batches | None) -> Page:
        """Fill the page with what is visible and live, and look one post beyond it.

        `first` are at hand already; without them the batches are begun with, whatever is away.
        """
        live: list[tuple[FeedEntry, bytes]] = []
        if first is not None:
            await self._fill(live, first)
        if behind is not None and len(live) <= self.limit and (first is None or self.goes_on):
            async with aclosing(behind):
                async for batch in behind:
                    await self._fill(live, batch)
                    if len(live) > self.limit or not self.goes_on:
                        break
        return self._page(live)

    async def _fill(
        self, live: list[tuple[FeedEntry, bytes]], entries: Sequence[FeedEntry]
    ) -> None:
        """Add of these what is visible and live, until there is one post beyond the page."""
        while entries and len(live) <= self.limit:
            need = self.limit + 1 - len(live)
            live += await self.shown(entries[:need])
            entries = entries[need:]
            if self.hidden:
                entries = [entry for entry in entries if entry.author_id not in self.hidden]

    @property
    def goes_on(self) -> bool:
        """Whether reading further can still make a whole page."""
        return self.effort.whole and self.completeness is Completeness.COMPLETE

    async def followees(self) -> AbstractSet[str]:
        """Everybody the viewer follows, cached or from the graph; nobody when neither answers."""
        if self.follows is None:
            cached = self.stores.follow_cache.following
            self.follows = await self.effort.ask("redis", None, cached)(self.viewer_id)
        if self.follows is None:
            await self._read_graph()
        return self.follows or frozenset()

    async def shown(self, entries: Sequence[FeedEntry]) -> list[tuple[FeedEntry, bytes]]:
        """Those that may be seen and are live, with their JSON."""
        with feed_step("shelf"):
            shown = await self.hydrator.look(entries, self.viewer_id, self.effort)
        follows = await self._follows(shown)
        if follows is not None:
            seen = [may_see(follows, entry.author_id, entry.post_id) for entry in entries]
            if not all(seen):
                shown = _only(seen, shown)
                self.hidden.update(e.author_id for e in entries if e.author_id not in follows)
                entries = list(compress(entries, seen))
        return await self.hydrator.posts(entries, self.viewer_id, self.effort, shown)

    async def _follows(self, shown: Shown) -> AbstractSet[str] | None:
        """Who of the authors is followed; None: can't be told, and fan-out is believed."""
        if self.follows is None and shown.follows is not None:
            return shown.follows
        if self.follows is None:
            await self._read_graph()
        return self.follows

    async def _read_graph(self) -> None:
        """The follow set from the graph, cached unless it changed meanwhile."""
        cache = self.stores.follow_cache
        token = await self.effort.ask("redis", None, cache.following_token)(self.viewer_id)
        read = self.effort.ask("postgres", None, self.stores.follows.following)
        with feed_step("graph"):
            followees = await read(self.viewer_id)
        if followees is None:
            return
        if token is not None:
            keep = self.effort.ask("redis", None, cache.put_following)
            await keep(self.viewer_id, followees, token)
        self.follows = frozenset(followees)

    def _page(self, live: list[tuple[FeedEntry, bytes]]) -> Page:
        completeness = self.completeness if self.effort.whole else Completeness.DEGRADED
        shown = live[: self.limit]
        unknown = completeness is Completeness.DEGRADED and len(shown) == self.limit
        more = len(live) > self.limit or unknown
        if completeness is Completeness.REBUILDING:
            more = False  # there may be gaps: going on from here would skip them
        after = place(shown[-1][0]) if more else None
        return Page([post for _, post in shown], after, completeness)


def _only(seen: list[bool], shown: Shown) -> Shown:
    """The posts of these entries alone."""
    return Shown(list(compress(shown.posts, seen)), shown.clicks, None)
