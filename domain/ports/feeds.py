"""Ports: the feed sets and the ready posts they show."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from domain.entities import Counts, Cursor, FeedEntry


class Timelines(Protocol):
    """Sets of posts, exact above their floor, or cold.

    There are two kinds. `feed:{user_id}` holds what was pushed to a reader, and marks that name the
    celebrities whose posts are to be pulled; `pulls:{user_id}` holds a celebrity's own newest
    posts, whatever way they are delivered.
    """

    async def push(self, entry: FeedEntry, user_ids: Sequence[str]) -> int:
        """Add to each feed that exists (built or building); twice is once; how many exist."""

    async def mark_celebrity(self, author_id: str, user_ids: Sequence[str]) -> None:
        """From now on pull this author into each feed that exists; twice is once."""

    async def exists(self, user_id: str) -> bool:
        """Whether there is a feed, built or building, that backfills would reach."""

    async def page(self, user_id: str, before: Cursor | None, limit: int) -> "FeedPage | None":
        """Entries newest first, strictly before the cursor; None when the feed is cold."""

    async def pages(
        self, user_ids: Sequence[str], before: Cursor | None, limit: int
    ) -> "list[FeedPage | None]":
        """`page` of several at once, as one round trip."""

    async def begin_build(self, user_id: str) -> str:
        """Mark as building, so that pushes arrive; a token that `finish_build` must show."""

    async def finish_build(
        self,
        user_id: str,
        token: str,
        entries: Sequence[FeedEntry],
        celebrities: Sequence[str] = (),
    ) -> bool:
        """Merge the entries in (never replace) and mark built; False when the build was voided.

        `celebrities` are the authors to pull.
        """

    async def add_entries(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Backfill a feed that exists, above its floor."""

    async def remove(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Take these entries out of a feed."""

    async def remove_author(self, user_id: str, author_id: str) -> None:
        """Take one author's entries out of a feed, and stop pulling them."""

    async def drop(self, user_id: str) -> None:
        """Make it cold."""


class FeedPage(Protocol):
    """A page of a built feed."""

    @property
    def entries(self) -> list[FeedEntry]:
        """Newest first."""

    @property
    def floor(self) -> Cursor | None:
        """Where the set ends because older entries were trimmed; None when nothing was."""

    @property
    def celebrities(self) -> Sequence[str]:
        """Authors whose posts are to be pulled, whether they are still followed or not."""

    @property
    def built_at(self) -> int:
        """When the set was last built, Unix milliseconds."""


class ShownPost(NamedTuple):
    """What the caches hold of one post, as one viewer sees it.

    `post` and `person` are ready bytes: None when absent, b"" for what is gone. `counts` are None
    when they or the set of likers are cold; `liked` holds only where they aren't. Of what is gone
    nothing else need be told.
    """

    post: bytes | None = None
    person: bytes | None = None
    counts: Counts | None = None
    liked: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """What one viewer's page of posts needs from the caches; as many `posts` as entries.

    `clicks` are the viewer's own of the last seconds, by post. `follows` has those of the authors
    whom the viewer follows, maybe others whom they follow; None when the follow set is cold.
    """

    posts: list[ShownPost]
    clicks: Mapping[str, bool]
    follows: AbstractSet[str] | None


class Shelf(Protocol):
    """Everything that a page of posts shows, in one round trip at most."""

    def known(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown | None:
        """All of it, when this process knows it since its last trip; else None."""

    async def read(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown:
        """Look all of it up; some of the reads also renew the lives of what is there."""


class PostCache(Protocol):
    """`post:{id}`: posts and people as ready bytes, with an hour's life renewed on access."""

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The ready bytes of posts (`ph_…`) or people (`u_…`), None where absent."""

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Fill what is absent, for the TTL with jitter; what is there is newer and stays."""

    async def replace(self, items: Mapping[str, bytes]) -> None:
        """Keep these whatever is there; no bytes say that there is no such post any more.

        So a reader who read the durable row before it changed can't fill the old one in.
        """

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop them."""
