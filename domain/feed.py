"""What a feed is made of: members, order, merging. Pure; times are Unix milliseconds.

A feed is the newest live posts, by (published_at, post id), of the people somebody follows now
(contract, "What a feed is"). Everything here is a function of values, so that the stages, the
read path and a rebuild can't disagree.
"""

from base64 import b85decode, b85encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from itertools import chain

from domain import ids
from domain.entities import Cursor, FeedEntry
from domain.ports.feeds import FeedPage

_POST, _USER = "ph_", "u_"
_AUTHORS = 16_384  # whose spelling a process remembers: 3 MB, and 3 µs each that it needn't


def member(entry: FeedEntry) -> bytes:
    """The entry as a member of a sorted set: 11 characters of the post's id, 10 for the author.

    Fixed width, so that members of one score sort as post ids do; the author is in it, so that
    filtering and hydration need no extra trip. One character more would cost 16 bytes an entry
    (docs/decisions/0014).
    """
    return (entry.post_id[len(_POST) :] + author_part(entry.author_id)).encode()


@lru_cache(maxsize=16_384)
def entry_of(member: bytes, score: float) -> FeedEntry:
    """The entry that a member and its score (published_at) spell.

    A post is in many feeds: the same one is told again and again.
    """
    text = member.decode()
    return FeedEntry(int(score), _POST + text[: ids.WIDTH], _author_of(text[ids.WIDTH :]))


@lru_cache(_AUTHORS)
def author_part(author_id: str) -> str:
    """A user's id in ten characters instead of eleven: its 63 bits in base 85."""
    return b85encode(ids.read(author_id).to_bytes(8)).decode()


@lru_cache(_AUTHORS)
def _author_of(part: str) -> str:
    return _USER + ids.spell(int.from_bytes(b85decode(part)))


def place(entry: FeedEntry) -> Cursor:
    """Where an entry is: a page before this cursor holds what is strictly older."""
    return Cursor(entry.published_at, entry.post_id)


def older(entries: Iterable[FeedEntry], before: Cursor | None) -> list[FeedEntry]:
    """Those strictly older than the cursor, in the order given; all of them without one."""
    return [entry for entry in entries if before is None or place(entry) < before]


def truncation(entries: Sequence[FeedEntry], cap: int) -> Cursor | None:
    """The floor that `cap` or more entries imply: an author may have older ones than these.

    A source read up to `cap` tells nothing of what lies at or below its last entry.
    """
    return min(map(place, entries)) if len(entries) >= cap else None


# --- merging a feed set with pull lists -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Merged:
    """The newest of several sources, newest first, once each.

    `cut` is where at least one of them ends without being at its end: at and below it only the
    durable store can tell. With fewer entries than asked for and no cut, there are no more.
    """

    entries: list[FeedEntry]
    cut: Cursor | None


def merged(pages: Sequence[FeedPage], size: int) -> Merged:
    """The newest `size` posts of the union of pages that were asked for `size` each, or more.

    A page with fewer and a floor says nothing of what is at or below that floor; one with `size`
    or more says nothing below its last entry, and nothing from there can be among the newest.
    """
    short = [page.floor for page in pages if page.floor and len(page.entries) < size]
    cut = max(short, default=None)
    lists = [page.entries for page in pages if page.entries]
    best = lists[0] if len(lists) == 1 else _newest_of(lists, size)
    if cut is not None:
        best = [entry for entry in best if place(entry) > cut]
    return Merged(best[:size], cut)


def _newest_of(lists: Sequence[Sequence[FeedEntry]], size: int) -> list[FeedEntry]:
    """The newest of the union, each post once: so fifty lists cost little more than one page.

    Only what isn't older than a bound is looked at: `size` posts aren't, since one list has so
    many or so many lists begin there.
    """
    bounds = [entries[size - 1] for entries in lists if len(entries) >= size]
    firsts = sorted({entries[0] for entries in lists}, reverse=True)
    bounds += firsts[size - 1 : size]
    if not bounds:
        return sorted(set(chain.from_iterable(lists)), reverse=True)
    bound, best = max(bounds), set[FeedEntry]()
    for entries in lists:
        for entry in entries:
            if entry < bound:
                break
            best.add(entry)
    return sorted(best, reverse=True)


# --- merging many authors ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """What has been read of one author, newest first; `done` when nothing older exists."""

    entries: tuple[FeedEntry, ...] = ()
    done: bool = False

    def then(self, page: Sequence[FeedEntry], asked: int) -> "Read":
        """With one more page, of which `asked` entries were wanted."""
        return Read((*self.entries, *page), done=len(page) < asked)

    @property
    def oldest(self) -> Cursor | None:
        """Where the next page starts."""
        return place(self.entries[-1]) if self.entries else None


def newest(reads: Mapping[str, Read], limit: int) -> list[FeedEntry]:
    """The newest `limit` of all that was read, newest first."""
    return nlargest(limit, (entry for read in reads.values() for entry in read.entries))


def wanting(reads: Mapping[str, Read], limit: int) -> list[str]:
    """Authors whose next page may still change the newest `limit`; none when those are final."""
    best = newest(reads, limit)
    last = place(best[-1]) if best and len(best) == limit else None
    return [
        author
        for author, read in reads.items()
        if not read.done and (last is None or read.oldest is None or read.oldest > last)
    ]
