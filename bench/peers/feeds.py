"""Feeds of one layout, filled for everybody, and compared with the graph after each turn."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench.tools.cache import Command, Wire
from bench.tools.graph import PowerLaw
from domain.entities import FeedEntry
from domain.feed import member

Post = tuple[str, str, int]
"""Author, post id, published at in milliseconds."""
Work = Callable[[], Awaitable[float | None]]
"""Delivers; gives the processor seconds where another process spent them."""
_BATCH = 500


class Contender(Protocol):
    """One way to deliver."""

    name: str
    repeats: int

    def reachable(self, author: str) -> Sequence[str]:
        """The followers that it delivers to."""

    def prepared(self, posts: Sequence[Post]) -> Work:
        """What comes in ready made: the events' bytes."""

    def wrong(self, posts: Sequence[Post]) -> tuple[int, int, int]:
        """(missing, ghosts, false feeds) after these posts were delivered."""

    def tidy(self, posts: Sequence[Post]) -> None:
        """Leave the feeds as the next turn expects them."""


@dataclass(slots=True)
class Feeds:
    """Feeds of one layout in one database, and how to look at them."""

    graph: PowerLaw
    cold: set[str]
    wire: Wire
    key: Callable[[str], str]
    listed: bool = False

    def warm(self, author: str) -> list[str]:
        """The author's followers who have a feed."""
        return [name for name in self.graph.followers[author] if name not in self.cold]

    def wrong(self, named: Sequence[tuple[str, str | bytes]]) -> tuple[int, int, int]:
        """Compare every feed with the graph; `named` is (author, the post's name in the feeds)."""
        missing = ghosts = false_feeds = 0
        following = {author: set(self.graph.followers[author]) for author, _ in named}
        names = [name if isinstance(name, bytes) else name.encode() for _, name in named]
        for start in range(0, len(self.graph.people), _BATCH):
            people = self.graph.people[start : start + _BATCH]
            for person, has in zip(people, self._held(people, names), strict=True):
                due = [person in following[author] for author, _ in named]
                if person in self.cold:
                    false_feeds += any(has)
                    ghosts += sum(h and not d for h, d in zip(has, due, strict=True))
                    continue
                missing += sum(d and not h for h, d in zip(has, due, strict=True))
                ghosts += sum(h and not d for h, d in zip(has, due, strict=True))
        self._forget_cold()
        return missing, ghosts, false_feeds

    def _held(self, people: Sequence[str], names: Sequence[bytes]) -> list[list[bool]]:
        asked: list[Command]
        if not self.listed:
            asked = [("ZMSCORE", self.key(person), *names) for person in people]
            found = self.wire.pipeline(asked)
            return [[s is not None for s in row] for row in found if isinstance(row, list)]
        asked = [("LRANGE", self.key(person), "0", "63") for person in people]
        found = self.wire.pipeline(asked)
        return [[name in row for name in names] for row in found if isinstance(row, list)]

    def _forget_cold(self) -> None:
        self.wire.pipeline([("DEL", self.key(person)) for person in sorted(self.cold)])

    def copy(self, templates: Sequence[str]) -> None:
        """Make everybody's feed from one of the templates, in turn; the cold have none."""
        people = [person for person in self.graph.people if person not in self.cold]
        for start in range(0, len(people), _BATCH):
            self.wire.pipeline(
                [
                    ("COPY", templates[n % len(templates)], self.key(person))
                    for n, person in enumerate(people[start : start + _BATCH])
                ]
            )
        self.wire.call("DEL", *templates)


def feed_key(person: str) -> str:
    """The key of a feed in our layout and the seed's."""
    return f"feed:{person}"


def entry(post: Post) -> FeedEntry:
    """The post as a feed has it."""
    author, post_id, published_at = post
    return FeedEntry(published_at, post_id, author)


def members(posts: Sequence[Post]) -> list[tuple[str, bytes]]:
    """(author, member of the sorted set) of each post."""
    return [(post[0], member(entry(post))) for post in posts]
