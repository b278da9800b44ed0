"""Compare the feeds that were read with what the follow log says they must hold. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verdict:
    """Pairs (post, reader): expected, seen, and what was wrong."""

    expected: int
    seen: int
    lost: tuple[tuple[str, str], ...]
    ghosts: tuple[tuple[str, str], ...]
    duplicates: tuple[tuple[str, str], ...]
    misordered: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every eligible pair once, no other, newest first."""
        return not (self.lost or self.ghosts or self.duplicates or self.misordered)


def compare(
    authors: Mapping[str, str],
    followees: Mapping[str, frozenset[str]],
    feeds: Mapping[str, Sequence[tuple[str, str]]],
) -> Verdict:
    """Judge whole feeds.

    Args:
        authors: author of every post that was acknowledged, by post id.
        followees: whom each reader follows at the end.
        feeds: each reader's feed as read, top to bottom: (post_id, created_at RFC 3339).

    A post that nobody acknowledged but that is there is a ghost as well.
    """
    must = {
        (post, reader)
        for reader, followed in followees.items()
        for post, author in authors.items()
        if author in followed
    }
    times = Counter((post, reader) for reader, feed in feeds.items() for post, _ in feed)
    got = set(times)
    return Verdict(
        expected=len(must),
        seen=len(must & got),
        lost=tuple(sorted(must - got)),
        ghosts=tuple(sorted(got - must)),
        duplicates=tuple(sorted(pair for pair, count in times.items() if count > 1)),
        misordered=tuple(sorted(r for r, feed in feeds.items() if not _newest_first(feed))),
    )


def _newest_first(feed: Sequence[tuple[str, str]]) -> bool:
    keys = [(created_at, post) for post, created_at in feed]
    return keys == sorted(keys, reverse=True)
