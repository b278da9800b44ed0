"""What one reader would be shown, judged from what the caches and durable stores hold. Pure.

The audit asks it of every post, `feed explain` of one: so they can't disagree. The rules are those
of reading: the newest of the set and the pulled lists together, the durable stores below the
highest floor of any of them, and of all that what the filter lets through.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from domain.entities import Cursor, FeedEntry
from domain.feed import place

Spot = tuple[int, str, str]
"""An entry with its author compared, too: (published_at, post_id, author_id)."""


def spot(entry: FeedEntry) -> Spot:
    """The entry as a value that is equal only where all three agree."""
    return entry.published_at, entry.post_id, entry.author_id


@dataclass(frozen=True, slots=True)
class Source:
    """A set of posts as it was read: a feed or a pulled author's list, exact above its floor."""

    spots: frozenset[Spot] = frozenset()
    floor: Cursor | None = None

    @classmethod
    def of(cls, entries: Iterable[FeedEntry], floor: Cursor | None) -> "Source":
        """A source of these entries."""
        return cls(frozenset(map(spot, entries)), floor)


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
        """At and below this place the durable stores are read; None when they never are."""
        sources = [self.feed, *self.lists.values()]
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
SEEN = FROM_DURABLE | {Sight.IN_SET, Sight.IN_LIST}
"""Met at all."""


class Sights:
    """Answers for many entries of one view."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._cut = view.cut

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
        if self._cut is not None and place(entry) <= self._cut:
            return Sight.BELOW_FLOOR
        if spot(entry) in view.feed.spots:
            return Sight.IN_SET
        if entry.author_id not in view.lists:
            return Sight.MISSING
        pulled = view.lists[entry.author_id]
        if pulled is None:
            return Sight.COLD_LIST
        return Sight.IN_LIST if spot(entry) in pulled.spots else Sight.MISSING

    def shown(self) -> set[Spot]:
        """What the caches show above the cut, whatever the filter then says of it."""
        sources = [self._view.feed, *self._view.lists.values()] if self._view.feed else []
        cut = self._cut
        return {
            each
            for source in sources
            if source is not None
            for each in source.spots
            if cut is None or Cursor(each[0], each[1]) > cut
        }
