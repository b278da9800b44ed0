"""In-app notifications as a list shows them: likes of one post are one line (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.entities import Notification

_GROUPED = "like"


@dataclass(frozen=True, slots=True)
class Notice:
    """One line: the newest notification's id and time, and everybody it speaks of."""

    notification_id: str
    type: str
    actor_ids: tuple[str, ...]
    post_id: str | None
    created_at: int
    read: bool


@dataclass(frozen=True, slots=True)
class Grouped:
    """Lines, and the id of the last notification that is in one of them ("" for none)."""

    notices: tuple[Notice, ...]
    last_id: str


def group(rows: Sequence[Notification], read_up_to: str, limit: int) -> Grouped:
    """Up to `limit` lines out of rows that come newest first.

    Only whole stretches of rows are used: it stops at the first one that needs one line too many,
    and the next page starts there. Read and unread likes make separate lines.
    """
    lines: dict[tuple[str, ...], list[Notification]] = {}
    last_id = ""
    for row in rows:
        key = _key(row, read_up_to)
        if key not in lines and len(lines) == limit:
            break
        lines.setdefault(key, []).append(row)
        last_id = row.notification_id
    return Grouped(tuple(_line(members, read_up_to) for members in lines.values()), last_id)


def count_distinct(rows: Sequence[Notification]) -> int:
    """How many there are; one person's likes of one post are one, however often they clicked."""
    return len(
        {
            (row.post_id, row.actor_id) if row.type == _GROUPED else row.notification_id
            for row in rows
        }
    )


def _key(row: Notification, read_up_to: str) -> tuple[str, ...]:
    if row.type != _GROUPED:
        return (row.notification_id,)
    return (row.type, row.post_id or "", str(row.notification_id <= read_up_to))


def _line(members: Sequence[Notification], read_up_to: str) -> Notice:
    newest = members[0]
    return Notice(
        notification_id=newest.notification_id,
        type=newest.type,
        actor_ids=tuple(dict.fromkeys(each.actor_id for each in members)),
        post_id=newest.post_id,
        created_at=newest.created_at,
        read=newest.notification_id <= read_up_to,
    )
