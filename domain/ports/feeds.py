"""Ports: the feed sets and the ready posts they show."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from domain.entities import (
    Cursor,
    FeedEntry,
)
from schemas.events import Event

E = TypeVar("E", bound=Event)


class Timelines(Protocol):
    """The feed sets `feed:{user_id}`: exact above their floor, or cold."""

    async def push(self, entry: FeedEntry, user_ids: Sequence[str]) -> int:
        """Add to each feed that exists (built or building); twice is once; how many exist."""

    async def exists(self, user_id: str) -> bool:
        """Whether there is a feed, built or building, that backfills would reach."""

    async def page(self, user_id: str, before: Cursor | None, limit: int) -> "FeedPage | None":
        """Entries newest first, strictly before the cursor; None when the feed is cold."""

    async def begin_build(self, user_id: str) -> str:
        """Mark as building, so that pushes arrive; a token that `finish_build` must show."""

    async def finish_build(self, user_id: str, token: str, entries: Sequence[FeedEntry]) -> bool:
        """Merge the entries in (never replace) and mark built; False when the build was voided."""

    async def add_entries(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Backfill a feed that exists, above its floor."""

    async def remove_author(self, user_id: str, author_id: str) -> None:
        """Take one author's entries out of a feed."""

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
