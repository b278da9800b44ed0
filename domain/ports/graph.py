"""Ports: who follows whom, counted and cached, and who is a celebrity."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from domain.entities import Edge
from domain.threshold import Move, WriterLoad


class Follows(Protocol):
    """The graph, both ways, with its history. A change and its event are one commit (outbox)."""

    async def follow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Make the edge and enqueue follow.created; the present edge when it was there already.

        Raises NotFound when either of them has no account.
        """

    async def unfollow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Leave a tombstone and enqueue follow.deleted; no event when nothing changed.

        Raises NotFound when either of them has no account.
        """

    async def edge(self, follower_id: str, followee_id: str) -> Edge | None:
        """The edge or its tombstone."""

    async def following(self, follower_id: str) -> list[str]:
        """Everyone `follower_id` follows now, sorted."""

    async def followers_between(self, followee_id: str, after_id: str, upto_id: str) -> list[str]:
        """Present followers with after_id < id <= upto_id, sorted ("" is the start)."""

    def chunk_bounds(self, followee_id: str, size: int) -> AsyncIterator[tuple[str, str]]:
        """(after_id, upto_id) ranges of at most `size` present followers, in order."""

    async def followers_page(
        self, followee_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followers, newest edge first, strictly before (changed_at, follower_id)."""

    async def following_page(
        self, follower_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followees, newest edge first, strictly before (changed_at, followee_id)."""

    async def counts(self, user_id: str) -> tuple[int, int]:
        """(followers, following) counted from the edges: exact, for when no cache has them."""


class Celebrities(Protocol):
    """The sticky flag's durable home (seed section 10): set once, cleared by an operator alone."""

    async def flag(self, user_id: str, followers: int, now: int) -> None:
        """Mark as a celebrity; once set, later calls change nothing until cleared."""

    async def is_flagged(self, user_id: str) -> bool:
        """Whether the flag is set."""

    async def flagged(self) -> list[tuple[str, int, int]]:
        """All of them: (user_id, followers when flagged, flagged at)."""

    async def clear(self, user_id: str) -> bool:
        """Take the flag away; False when it wasn't set."""

    async def start_pulling(self, user_id: str, post_id: str) -> bool:
        """Readers pull this author from now on, for good; whether this post tells the followers.

        Every post does until one has (`pulling_told`), and that one does again when it is repeated.
        """

    async def pulling_told(self, user_id: str, post_id: str) -> None:
        """The followers are told by this post and no other; the first call counts."""

    async def pulling_untold(self, user_id: str, post_id: str) -> None:
        """Not all followers could be told by this post: if no other has told, the next one does."""

    async def pulled_among(self, user_ids: Sequence[str]) -> list[str]:
        """Those of them whose posts are to be pulled, sorted."""

    async def threshold(self) -> int | None:
        """The operator's live threshold, None when never set."""

    async def set_threshold(self, followers: int) -> None:
        """Set the live threshold."""


class PushLimit(Protocol):
    """The adaptive threshold, and what the writers of feeds measure for it."""

    async def report(self, writer: str, load: WriterLoad, now: int) -> None:
        """Keep what a writer measured last (now: Unix ms)."""

    async def step(
        self, since: int, now: int, decide: Callable[[int | None, Sequence[WriterLoad]], Move]
    ) -> Move | None:
        """Move the threshold by `decide`, of where it is (None: nowhere yet) and the newest loads.

        One step however many ask: None when somebody has moved it after `since` (Unix ms). Loads
        that weren't reported after it are forgotten: their writer is gone.
        """

    async def followers(self) -> int | None:
        """Where the threshold is, None before the first step."""


class FollowCache(Protocol):
    """`following:{user_id}`, `followers:{user_id}` and `celebrity:{user_id}`."""

    async def following(self, user_id: str) -> frozenset[str] | None:
        """The cached follow set; None when it must be read from the graph."""

    async def put_following(self, user_id: str, followees: Sequence[str], token: str) -> None:
        """Cache the follow set for its TTL, unless `forget_following` came since the token."""

    async def following_token(self, user_id: str) -> str:
        """Taken before reading the graph, shown to `put_following`."""

    async def forget_following(self, user_id: str) -> None:
        """Invalidate after a change of the graph."""

    async def put_follower_count(self, user_id: str, followers: int) -> None:
        """Keep the absolute follower count."""

    async def follower_count(self, user_id: str) -> int | None:
        """The count, None when unknown here."""

    async def put_celebrity(self, user_id: str, *, flagged: bool) -> None:
        """Mirror the sticky flag."""

    async def is_celebrity(self, user_id: str) -> bool | None:
        """The mirrored flag, None when unknown here."""
