"""Ports: likes, comments, their counts, and what people are told."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from domain.entities import Comment, Counts, Notification


class Reactions(Protocol):
    """Likes, comments and their absolute counts, each row with its version."""

    async def set_like(self, post_id: str, user_id: str, version: int, *, liked: bool) -> bool:
        """Apply a like or an unlike; whether the viewer likes the post afterwards (newest wins)."""

    async def likers(self, post_id: str) -> list[str]:
        """Everyone who likes the post now."""

    async def likers_page(self, post_id: str, after: str | None, limit: int) -> list[str]:
        """Users who like the post, by user id, strictly after `after`."""

    async def has_liked(self, post_ids: Sequence[str], user_id: str) -> set[str]:
        """Those of `post_ids` that the user likes."""

    async def set_comment(self, comment: Comment, version: int) -> None:
        """Apply a comment or its deletion; a tombstone stays."""

    async def get_comment(self, post_id: str, comment_id: str) -> Comment | None:
        """The comment or its tombstone."""

    async def comment_post(self, comment_id: str) -> str | None:
        """The post a comment belongs to."""

    async def comments_page(self, post_id: str, before: str | None, limit: int) -> list[Comment]:
        """Live comments, newest first, strictly before a comment id."""

    async def count_comments(self, post_id: str) -> int:
        """Live comments, counted."""

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts (never increments: those are not safe to repeat)."""

    async def get_counts(self, post_ids: Sequence[str]) -> dict[str, Counts]:
        """The durable counts of those that have any."""


class ReactionCache(Protocol):
    """`likes:{post_id}` sets and `counts:{post_id}`: the hot side of reactions.

    The stage count_reactions alone changes a warm set: only it knows whose turn it is.
    """

    async def note_click(self, post_id: str, user_id: str, event_id: str, *, liked: bool) -> None:
        """Keep for a few seconds what a viewer clicked; only they see it. The newest event wins."""

    async def put_like(self, post_id: str, user_id: str, *, liked: bool) -> int | None:
        """Apply to a warm set and give its size; None when the set is cold."""

    async def put_likers(self, post_id: str, likers: Sequence[str]) -> int:
        """Warm the set from the durable likes; its size."""

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts."""

    async def warm(self, found: Mapping[str, tuple[Counts, Sequence[str]]]) -> None:
        """Fill what is cold with durable counts and likers; what is there is newer and stays."""

    async def get(
        self, post_ids: Sequence[str], viewer_id: str
    ) -> list[tuple[Counts | None, bool]]:
        """(counts or None when cold, whether the viewer is counted) of each post, in one trip."""


class Notifications(Protocol):
    """In-app notifications by recipient, newest first."""

    async def add(self, notification: Notification) -> None:
        """Store it; the same id twice is once."""

    async def page(self, user_id: str, before: str | None, limit: int) -> list[Notification]:
        """Newest first, strictly before a notification id."""

    async def read_up_to(self, user_id: str) -> str:
        """The id up to which everything is read, "" for none."""

    async def mark_read(self, user_id: str, up_to: str) -> None:
        """Everything up to and including this id is read; never moves backwards."""

    async def unread_count(self, user_id: str) -> int:
        """How many are newer than `read_up_to`, counted up to 1,000."""
