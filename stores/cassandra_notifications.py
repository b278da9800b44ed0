"""In-app notifications in Cassandra, newest first; the node lets them go after 90 days."""

from domain import ids
from domain.entities import Notification
from domain.notice_lines import count_distinct
from stores.cassandra_session import CassandraSession, Row
from stores.checks import checked_id

UNREAD_LIMIT = 1000

_INSERT = """
INSERT INTO notifications_by_user (user_id, notification_id, type, actor_id, post_id, created_at)
VALUES (?, ?, ?, ?, ?, ?)"""
_PAGE = """
SELECT user_id, notification_id, type, actor_id, post_id, created_at FROM notifications_by_user
WHERE user_id = ? AND notification_id < ? LIMIT ?"""
_UNREAD = """
SELECT user_id, notification_id, type, actor_id, post_id, created_at FROM notifications_by_user
WHERE user_id = ? AND notification_id > ? LIMIT ?"""
_READS = "SELECT up_to FROM notification_reads WHERE user_id = ?"
# The id's own number is the timestamp: a mark at an older id loses against the one that is there.
_MARK = "INSERT INTO notification_reads (user_id, up_to) VALUES (?, ?) USING TIMESTAMP ?"
_LAST = "nt_~"
"""Sorts behind every id."""


class CassandraNotifications:
    """`domain.ports.reactions.Notifications`. Malformed ids are Unrecoverable(invalid_event)."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    async def add(self, notification: Notification) -> None:
        """Store it; the same id twice is once."""
        params = (
            checked_id(notification.user_id, "u_"),
            checked_id(notification.notification_id, "nt_"),
            notification.type,
            checked_id(notification.actor_id, "u_"),
            notification.post_id and checked_id(notification.post_id, "ph_"),
            notification.created_at,
        )
        await self._session.execute(_INSERT, params)

    async def page(self, user_id: str, before: str | None, limit: int) -> list[Notification]:
        """Newest first, strictly before a notification id."""
        params = (checked_id(user_id, "u_"), before or _LAST, limit)
        return [_notification(row) for row in await self._session.execute(_PAGE, params)]

    async def read_up_to(self, user_id: str) -> str:
        """The id up to which everything is read, "" for none."""
        rows = await self._session.execute(_READS, (checked_id(user_id, "u_"),))
        return str(rows[0].up_to) if rows else ""

    async def mark_read(self, user_id: str, up_to: str) -> None:
        """Everything up to and including this id is read; never moves backwards, twice is once."""
        number = ids.read(checked_id(up_to, "nt_"))
        await self._session.execute(_MARK, (checked_id(user_id, "u_"), up_to, number))

    async def unread_count(self, user_id: str) -> int:
        """How many of up to 1,000 are unread; one person's likes of a post are one."""
        params = (user_id, await self.read_up_to(user_id), UNREAD_LIMIT)
        rows = await self._session.execute(_UNREAD, params)
        return count_distinct([_notification(row) for row in rows])


def _notification(row: Row) -> Notification:
    return Notification(
        notification_id=row.notification_id,
        user_id=row.user_id,
        type=row.type,
        actor_id=row.actor_id,
        post_id=row.post_id,
        created_at=row.created_at,
    )
