"""Likes, comments and counts in Cassandra.

Every write of a like or a comment is USING TIMESTAMP <version>: the node itself keeps the newest,
in whatever order and however often they arrive (a lower version changes nothing).
"""

from collections.abc import Sequence

from domain.entities import Comment, Counts
from stores.cassandra_session import CassandraSession, Row
from stores.checks import checked_id, checked_version

_PUT_LIKE = "INSERT INTO likes_by_post (post_id, user_id, liked) VALUES (?, ?, ?) USING TIMESTAMP ?"
_GET_LIKES = "SELECT post_id, liked FROM likes_by_post WHERE post_id IN ? AND user_id = ?"
# Filters are within one partition: the node itself reads on past the tombstones to a full page.
_LIKERS = "SELECT user_id FROM likes_by_post WHERE post_id = ? AND liked = true ALLOW FILTERING"
_LIKERS_PAGE = """
SELECT user_id FROM likes_by_post
WHERE post_id = ? AND user_id > ? AND liked = true LIMIT ? ALLOW FILTERING"""
_PUT_COMMENT = """
INSERT INTO comments_by_post (post_id, comment_id, user_id, body, created_at, deleted)
VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"""
_PUT_COMMENT_POST = """
INSERT INTO comment_posts (comment_id, post_id) VALUES (?, ?) USING TIMESTAMP ?"""
_GET_COMMENT = """
SELECT comment_id, post_id, user_id, body, created_at, deleted FROM comments_by_post
WHERE post_id = ? AND comment_id = ?"""
_GET_COMMENT_POST = "SELECT post_id FROM comment_posts WHERE comment_id = ?"
_COMMENTS_PAGE = """
SELECT comment_id, post_id, user_id, body, created_at, deleted FROM comments_by_post
WHERE post_id = ? AND comment_id < ? AND deleted = false LIMIT ? ALLOW FILTERING"""
_COUNT_COMMENTS = """
SELECT COUNT(*) AS comments FROM comments_by_post
WHERE post_id = ? AND deleted = false ALLOW FILTERING"""
_PUT_COUNTS = "INSERT INTO post_counts (post_id, likes, comments) VALUES (?, ?, ?)"
_GET_COUNTS = "SELECT post_id, likes, comments FROM post_counts WHERE post_id IN ?"
_LAST = "~"
"""Sorts behind every id."""


class CassandraReactions:
    """The port `Reactions`. Malformed ids and versions are Unrecoverable(invalid_event)."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    async def set_like(self, post_id: str, user_id: str, version: int, *, liked: bool) -> bool:
        """Apply a like or an unlike; whether the viewer likes the post afterwards."""
        like = (checked_id(post_id, "ph_"), checked_id(user_id, "u_"))
        await self._session.execute(_PUT_LIKE, (*like, liked, checked_version(version)))
        return post_id in await self.has_liked([post_id], user_id)

    async def likers(self, post_id: str) -> list[str]:
        """Everyone who likes the post now, by user id."""
        rows = await self._session.execute(_LIKERS, (checked_id(post_id, "ph_"),))
        return [row.user_id for row in rows]

    async def likers_page(self, post_id: str, after: str | None, limit: int) -> list[str]:
        """Users who like the post, by user id, strictly after `after`."""
        params = (checked_id(post_id, "ph_"), after or "", limit)
        return [row.user_id for row in await self._session.execute(_LIKERS_PAGE, params)]

    async def has_liked(self, post_ids: Sequence[str], user_id: str) -> set[str]:
        """Those of `post_ids` that the user likes, read side by side."""
        checked = [checked_id(post_id, "ph_") for post_id in post_ids]
        rows = await self._session.select_in(_GET_LIKES, checked, checked_id(user_id, "u_"))
        return {row.post_id for row in rows if row.liked}

    async def set_comment(self, comment: Comment, version: int) -> None:
        """Apply a comment or its deletion; twice is once, a tombstone stays and has no text."""
        checked_id(comment.user_id, "u_")
        checked_version(version)
        place = (checked_id(comment.post_id, "ph_"), checked_id(comment.comment_id, "cm_"))
        # What is seen can be found by its id: that row first.
        await self._session.execute(_PUT_COMMENT_POST, (*reversed(place), version))
        text = "" if comment.deleted else comment.text
        row = (*place, comment.user_id, text, comment.created_at, comment.deleted)
        await self._session.execute(_PUT_COMMENT, (*row, version))

    async def get_comment(self, post_id: str, comment_id: str) -> Comment | None:
        """The comment or its tombstone."""
        place = (checked_id(post_id, "ph_"), checked_id(comment_id, "cm_"))
        rows = await self._session.execute(_GET_COMMENT, place)
        return _comment(rows[0]) if rows else None

    async def comment_post(self, comment_id: str) -> str | None:
        """The post a comment belongs to."""
        rows = await self._session.execute(_GET_COMMENT_POST, (checked_id(comment_id, "cm_"),))
        return str(rows[0].post_id) if rows else None

    async def comments_page(self, post_id: str, before: str | None, limit: int) -> list[Comment]:
        """Live comments, newest first, strictly before a comment id."""
        params = (checked_id(post_id, "ph_"), before or _LAST, limit)
        return [_comment(row) for row in await self._session.execute(_COMMENTS_PAGE, params)]

    async def count_comments(self, post_id: str) -> int:
        """Live comments, counted."""
        [row] = await self._session.execute(_COUNT_COMMENTS, (checked_id(post_id, "ph_"),))
        return int(row.comments)

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts; twice is once."""
        params = (checked_id(post_id, "ph_"), counts.likes, counts.comments)
        await self._session.execute(_PUT_COUNTS, params)

    async def get_counts(self, post_ids: Sequence[str]) -> dict[str, Counts]:
        """The durable counts of those that have any."""
        checked = [checked_id(post_id, "ph_") for post_id in post_ids]
        rows = await self._session.select_in(_GET_COUNTS, checked)
        return {row.post_id: Counts(row.likes, row.comments) for row in rows}


def _comment(row: Row) -> Comment:
    return Comment(
        comment_id=row.comment_id,
        post_id=row.post_id,
        user_id=row.user_id,
        text=row.body,
        created_at=row.created_at,
        deleted=row.deleted,
    )
