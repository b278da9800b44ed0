"""What one reader would be shown, judged from what the caches and durable stores hold. Pure.

The audit asks it of every post, `feed explain` of one: so they can't disagree. The rules are those
of reading: the newest of the set and the pulled lists together, the durable stores below the
highest floor of any of them, and of all that what the filter lets through.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from domain.entities import Cursor, FeedEntry
from domain.feed import place


@dataclass(frozen=True, slots=True)
class Source:
    """A set of posts as it was read: a feed or a pulled author's list, exact above its floor."""

    entries: frozenset[FeedEntry] = frozenset()
    floor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Everything that decides what one reader sees.

    `feed` is None when it is cold; `lists` has each author whom the feed's marks say to pull, None
    where that list is cold; `passing` are the authors that the filter lets through; `gone` the
    posts whose ready bytes say that they were deleted; `unlisted` the live posts that are missing
    in the table by user, so that no build finds them.
    """

    feed: Source | None
    lists: Mapping[str, Source | None] = field(default_factory=dict)
    passing: AbstractSet[str] = frozenset()
    gone: AbstractSet[str] = frozenset()
    unlisted: AbstractSet[str] = frozenset()

    @property
    def cut(self) -> Cursor | None:
        """At and below this place no source is exact; None when all of them are to their ends."""
        sources = [self.feed, *self.lists.values()] if self.feed else []
        floors = [source.floor for source in sources if source is not None and source.floor]
        return max(floors, default=None)


class Sight(StrEnum):
    """Where a reader meets a post, or why not."""

    IN_SET = "in_set"
    IN_LIST = "in_list"
    COLD_LIST = "cold_list"
    COLD_FEED = "cold_feed"
    BELOW_FLOOR = "below_floor"
    HIDDEN = "hidden"
    GONE = "gone"
    UNLISTED = "unlisted"
    MISSING = "missing"


FROM_DURABLE = frozenset({Sight.COLD_LIST, Sight.COLD_FEED, Sight.BELOW_FLOOR})
"""Met by reading the durable stores."""


class Sights:
    """Answers for many entries of one view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._cut = view.cut
        self._shown = self._above_cut()
        self._last = place(min(self._shown)) if self._shown else None

    def of(self, entry: FeedEntry) -> Sight:
        """Where the reader meets an entry that the durable stores say is theirs."""
        view = self._view
        if entry.author_id not in view.passing:
            return Sight.HIDDEN
        if entry.post_id in view.gone:
            return Sight.GONE
        found = self._held(entry)
        return Sight.UNLISTED if found in FROM_DURABLE and entry.post_id in view.unlisted else found

    def _held(self, entry: FeedEntry) -> Sight:
        view = self._view
        if view.feed is None:
            return Sight.COLD_FEED
        if self.is_below(entry):
            return Sight.BELOW_FLOOR
        if entry in view.feed.entries:
            return Sight.IN_SET
        if entry.author_id not in view.lists:
            return Sight.MISSING
        pulled = view.lists[entry.author_id]
        if pulled is None:
            return Sight.COLD_LIST
        return Sight.IN_LIST if entry in pulled.entries else Sight.MISSING

    def is_below(self, entry: FeedEntry) -> bool:
        """Whether the durable stores are read there, for whoever the filter lets through.

        They are read on from the last entry above the cut, not from the cut itself.
        """
        return self._cut is not None and (self._last is None or place(entry) < self._last)

    def shown(self) -> frozenset[FeedEntry]:
        """What the caches show above the cut, whatever the filter then says of it."""
        return self._shown

    def _above_cut(self) -> frozenset[FeedEntry]:
        sources = [self._view.feed, *self._view.lists.values()] if self._view.feed else []
        cut = self._cut
        return frozenset(
            each
            for source in sources
            if source is not None
            for each in source.entries
            if cut is None or place(each) > cut
        )
