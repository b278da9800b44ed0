"""What an audit compares: the authors' posts in the durable stores, and the sets in the cache.

Authors have many readers, so the newest read lists are kept; how many entries altogether is
bounded. Who needs what holds now makes a new instance.
"""

from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field

from domain.entities import Cursor, FeedEntry
from domain.feed import place
from domain.feed_view import Source, View
from domain.ports.accounts import Users
from domain.ports.feeds import FeedPage, Timelines
from ops.feed.ports import TruthStores

KEPT_ENTRIES = 300_000
"""About 100 MB at most."""
_PAGE = 1000
_SET_PAGE = 4000  # a whole feed at the default cap: one moment, one round trip


@dataclass(slots=True)
class TableFaults:
    """Where the two tables of posts disagree: by id live, by user missing, or the other way."""

    unlisted: dict[str, FeedEntry] = field(default_factory=dict)
    undead: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


class Sources:
    """Reads and remembers. Raises StoreAway, Transient."""

    def __init__(self, stores: TruthStores, since: int, faults: TableFaults) -> None:
        self._stores = stores
        self._since = since
        self._faults = faults
        self._unlisted: defaultdict[str, set[FeedEntry]] = defaultdict(set)
        for entry in faults.unlisted.values():
            self._unlisted[entry.author_id].add(entry)
        self._posts: OrderedDict[str, list[FeedEntry]] = OrderedDict()
        self._lists: dict[str, Source | None] = {}
        self._kept = 0

    async def eligible(self, authors: Collection[str], until: int) -> list[FeedEntry]:
        """Live posts of these authors in the range that is looked at."""
        found = [entry for author in authors for entry in await self._by(author)]
        return [entry for entry in found if entry.published_at <= until]

    async def view(self, user_id: str, follows: Collection[str]) -> View:
        """What one reader sees."""
        cached = await self._stores.follow_cache.following(user_id)
        passing = frozenset(follows) if cached is None else cached
        page = await whole(self._stores.timelines, user_id)
        if page is None:
            return self._view(None, {}, passing)
        lists = {author: await self._list(author) for author in page.celebrities}
        return self._view(Source(frozenset(page.entries), page.floor), lists, passing)

    def _view(
        self, feed: Source | None, lists: dict[str, Source | None], passing: frozenset[str]
    ) -> View:
        return View(feed, lists, passing, self._faults.gone, self._faults.unlisted.keys())

    async def _by(self, author: str) -> list[FeedEntry]:
        if author in self._posts:
            self._posts.move_to_end(author)
            return self._posts[author]
        found = [entry async for entry in self._read(author)]
        found += self._unlisted[author].difference(found)
        self._posts[author] = found
        self._kept += len(found)
        while self._kept > KEPT_ENTRIES and len(self._posts) > 1:
            _, dropped = self._posts.popitem(last=False)
            self._kept -= len(dropped)
        return found

    async def _read(self, author: str) -> AsyncIterator[FeedEntry]:
        before: Cursor | None = None
        while True:
            page = await self._stores.photos.by_user(author, before, _PAGE)
            for entry in page:
                if entry.published_at < self._since:
                    return
                if entry.post_id not in self._faults.undead:
                    yield entry
            if len(page) < _PAGE:
                return
            before = place(page[-1])

    async def _list(self, author: str) -> Source | None:
        if author not in self._lists:
            page = await whole(self._stores.pulls, author)
            if len(self._lists) * _SET_PAGE > KEPT_ENTRIES:
                self._lists.clear()
            self._lists[author] = (
                None if page is None else Source(frozenset(page.entries), page.floor)
            )
        return self._lists[author]


@dataclass(frozen=True, slots=True)
class WholeSet:
    """A set from its newest entry to its floor."""

    entries: list[FeedEntry]
    floor: Cursor | None
    celebrities: list[str]
    built_at: int


async def whole(timelines: Timelines, user_id: str) -> WholeSet | None:
    """A set with all its entries; None when it is cold."""
    entries: list[FeedEntry] = []
    page: FeedPage | None = None
    while page is None or len(page.entries) == _SET_PAGE:
        before = place(entries[-1]) if entries else None
        page = await timelines.page(user_id, before, _SET_PAGE)
        if page is None:
            return None
        entries += page.entries
    return WholeSet(entries, page.floor, list(page.celebrities), page.built_at)


def just_above(entry: FeedEntry) -> Cursor:
    """A page before this cursor begins with the entry, if it is there."""
    return Cursor(entry.published_at, entry.post_id + "~")


async def everyone(users: Users, size: int, after: str = "") -> AsyncIterator[list[str]]:
    """Ids of all users behind one, in their order, some at a time."""
    while found := await users.ids_after(after, size):
        yield found
        after = found[-1]
