"""The viewer's own notifications; likes of one post are one line."""

import asyncio
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.deps import Api, Viewer
from api.people import Person, people
from api.problems import invalid
from api.wire import PAGE, Body, CursorText, Limit, place
from domain import cursors, ids
from domain.notice_lines import group
from domain.post_json import rfc3339

router = APIRouter(tags=["notifications"])

_ROWS_PER_LINE = 5


class ShownNotice(BaseModel):
    """One line of the list; `actors` come newest first."""

    notification_id: str
    type: Literal["like", "comment", "follow", "mention", "post"]
    actors: list[Person]
    post_id: str | None
    created_at: str
    read: bool


class Notices(BaseModel):
    """A page of the list, newest first."""

    notifications: list[ShownNotice]
    unread_count: int
    next_cursor: str | None
    has_more: bool


class Read(Body):
    """Up to and including which notification everything has been seen."""

    up_to: str


class Unread(BaseModel):
    """How many are left, counted up to 1,000."""

    unread_count: int


@router.get("/notifications")
async def notifications(
    api: Api, viewer: Viewer, limit: Limit = PAGE, cursor: CursorText = None
) -> Notices:
    """The viewer's notifications, newest first."""
    kind = f"notifications:{viewer}"
    before = next((str(part) for part in place(kind, (str,), cursor)), None)
    wanted = limit * _ROWS_PER_LINE + 1
    rows, read_up_to, unread = await asyncio.gather(
        api.stores.notifications.page(viewer, before, wanted),
        api.stores.notifications.read_up_to(viewer),
        api.stores.notifications.unread_count(viewer),
    )
    page = group(rows[: wanted - 1], read_up_to, limit)
    more = bool(rows) and rows[-1].notification_id != page.last_id
    actors = await people(api, (actor for notice in page.notices for actor in notice.actor_ids))
    return Notices(
        notifications=[
            ShownNotice(
                notification_id=notice.notification_id,
                type=notice.type,
                actors=[actors[each] for each in notice.actor_ids if each in actors],
                post_id=notice.post_id,
                created_at=rfc3339(notice.created_at),
                read=notice.read,
            )
            for notice in page.notices
        ],
        unread_count=unread,
        next_cursor=cursors.encode(kind, page.last_id) if more else None,
        has_more=more,
    )


@router.post("/notifications/read")
async def read(api: Api, viewer: Viewer, seen: Read) -> Unread:
    """Mark everything up to a notification as read; never moves backwards."""
    if not ids.is_id(seen.up_to, "nt_") or ids.time_of(seen.up_to) > api.now_ms():
        raise invalid("up_to", "not the id of a notification")
    await api.stores.notifications.mark_read(viewer, seen.up_to)
    return Unread(unread_count=await api.stores.notifications.unread_count(viewer))
