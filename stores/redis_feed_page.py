"""A feed set's marks as they are spelled, and a page read from its replies. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domain.entities import Cursor, FeedEntry
from domain.feed import entry_of
from domain.ids import WIDTH
from stores.redis_wire import Reply


@dataclass(frozen=True, slots=True)
class RedisFeedPage:
    """A page of a built feed: entries newest first, all above the floor."""

    entries: list[FeedEntry]
    floor: Cursor | None
    celebrities: tuple[str, ...]
    built_at: int


@dataclass(frozen=True, slots=True)
class Marks:
    """What a set says of itself; `redis_timelines` tells how."""

    built_at: int
    floor: Cursor | None
    celebrities: tuple[str, ...]
    foreign: bool
    """Built by a former release, which spelled members otherwise: cold, and to be dropped."""

    @classmethod
    def of(cls, members: Iterable[bytes]) -> "Marks":
        """Read the marks as they are ordered in the set: of several floors the last holds."""
        return _marks(tuple(members))


@lru_cache(2048)
def _marks(members: tuple[bytes, ...]) -> Marks:
    """A set's marks hardly change, and there may be hundreds."""
    built_at, floor, celebrities, foreign = 0, None, list[str](), False
    for mark in members:
        name, _, rest = mark.partition(b":")
        if name == b"!celebrity":
            celebrities.append("u_" + rest.decode())
        elif name == b"!built":
            built_at = int(rest or 0)
            foreign = not rest
        elif name == b"!floor":
            at, _, post = rest.decode().partition(":")
            floor = Cursor(int(at), "ph_" + post)
    return Marks(built_at, floor, tuple(celebrities), foreign)


def floor_mark(floor: Cursor) -> str:
    """A floor, so spelled that the highest sorts last."""
    return f"!floor:{floor.published_at:013d}:{floor.post_id.removeprefix('ph_')}"


def celebrity_mark(author_id: str) -> str:
    """That this author is to be pulled."""
    return f"!celebrity:{author_id.removeprefix('u_')}"


def page_of(
    marks: Marks, found: Sequence[Reply], before: Cursor | None, limit: int, reach: int
) -> RedisFeedPage | None:
    """The page from pairs of member and score, newest first, of which `reach` were asked for.

    None when those within reach don't settle it: too many share the cursor's millisecond.
    """
    start = 0 if before is None else _not_older(found, before)
    if len(found) - start < limit and len(found) == reach:
        return None
    entries = [entry_of(name, score) for name, score in found[start : start + limit]]
    if marks.floor is not None:
        _cut(entries, marks.floor)
    return RedisFeedPage(entries, marks.floor, marks.celebrities, marks.built_at)


def _not_older(found: Sequence[Reply], before: Cursor) -> int:
    """How many at the front share the cursor's millisecond without being older."""
    post = before.post_id.removeprefix("ph_").encode()
    for count, (name, score) in enumerate(found):
        if name[:WIDTH] < post or score < before.published_at:
            return count
    return len(found)


def _cut(entries: list[FeedEntry], floor: Cursor) -> None:
    """Take what is at or below the floor off the end."""
    least = (floor.published_at, floor.post_id)
    while entries and (entries[-1].published_at, entries[-1].post_id) <= least:
        entries.pop()
