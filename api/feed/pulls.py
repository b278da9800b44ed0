"""The newest posts of celebrities, pulled when a feed is read (seed section 5, hybrid fan-out)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from api.feed.builder import FeedBuilder
from api.resilience.best_effort import BestEffort
from domain.entities import Cursor
from domain.errors import Transient
from domain.ports.feeds import FeedPage, Timelines

_HEADS = 4096  # authors whose newest posts one process keeps
_BUILD_LIMIT_S = 2.0
_AWAITED_S = 1.0  # so much longer a page is shown while one reader fetches the next


@dataclass(frozen=True, slots=True)
class Pulled:
    """A page of each list that could be read; `whole` when none was left out."""

    pages: list[FeedPage]
    whole: bool = True


@dataclass(slots=True)
class _Head:
    page: FeedPage
    size: int
    until: float
    awaited: bool = False

    def lasts(self, now: float, size: int) -> bool:
        """Whether it is shown though its time is over; not to the first who asks."""
        awaited, self.awaited = self.awaited, True
        return awaited and self.size >= size and now < self.until + _AWAITED_S


class PullLists:
    """Reads many authors' lists in one round trip, and builds those that are cold.

    Thousands of readers pull the same few lists: their newest entries are kept for a second. Then
    the first reader fetches them; for the others they last until those have come.
    """

    def __init__(
        self,
        pulls: Callable[[], Timelines],
        builder: FeedBuilder,
        heads_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pulls = pulls
        self._builder = builder
        self._heads_s = heads_s
        self._clock = clock
        self._heads: dict[str, _Head] = {}

    async def pages(
        self, authors: Sequence[str], before: Cursor | None, size: int, effort: BestEffort
    ) -> Pulled | None:
        """Strictly before the cursor, `size` entries of each or more; None while Redis is away."""
        pages, wanted = self._known(authors, size) if before is None else ([], list(authors))
        if wanted:
            read = effort.ask("redis", None, self._pulls().pages)
            found = await read(wanted, before, size)
            if found is None:
                return None
            cold = [a for a, page in zip(wanted, found, strict=True) if page is None]
            if cold:
                await self._build(cold, effort)
                found = await read(wanted, before, size)
            for author, page in zip(wanted, found or (), strict=bool(found)):
                if page is not None:
                    pages.append(page)
                    self._keep(author, page, before, size)
        return Pulled(pages, len(pages) == len(authors))

    def _known(self, authors: Sequence[str], size: int) -> tuple[list[FeedPage], list[str]]:
        """The pages that are kept, and whose aren't."""
        now = self._clock()
        pages, wanted = [], []
        for author, head in zip(authors, map(self._heads.get, authors), strict=True):
            if head is None:
                wanted.append(author)
            elif (head.until > now and head.size >= size) or head.lasts(now, size):
                pages.append(head.page)
            else:
                wanted.append(author)
        return pages, wanted

    def _keep(self, author: str, page: FeedPage, before: Cursor | None, size: int) -> None:
        if before is None and self._heads_s:
            self._heads.pop(author, None)
            self._heads[author] = _Head(page, size, self._clock() + self._heads_s)
            if len(self._heads) > _HEADS:
                del self._heads[next(iter(self._heads))]  # the oldest

    async def _build(self, authors: Sequence[str], effort: BestEffort) -> None:
        """Build these, together with whoever else waits for them; for a while."""
        tasks = {self._builder.pull_list(author).task for author in authors}
        done, _ = await asyncio.wait(tasks, timeout=_BUILD_LIMIT_S)
        for task in done:
            try:
                task.result()
            except Transient:
                effort.away.add("build")
