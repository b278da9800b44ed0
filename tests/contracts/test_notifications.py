"""The contract of `Notifications`, on Cassandra and on its twin."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from domain.entities import Notification
from domain.errors import Unrecoverable
from domain.ports.reactions import Notifications
from stores.memory.cassandra import MemoryNotifications
from tests.fresh import fresh_id, now_ms

if TYPE_CHECKING:
    from stores.connect import Stores


@pytest.fixture(params=["memory", "cassandra"])
def notifications(request: pytest.FixtureRequest) -> Notifications:
    if request.param == "memory":
        return MemoryNotifications()
    stores: Stores = request.getfixturevalue("stores")
    return stores.notifications


async def told(notifications: Notifications, user_id: str, count: int) -> list[Notification]:
    """Notify `count` times; newest first. Every other one is about no post."""
    rows = [
        Notification(
            notification_id=fresh_id("nt_"),
            user_id=user_id,
            type="like" if n % 2 else "follow",
            actor_id=fresh_id("u_"),
            post_id=fresh_id("ph_") if n % 2 else None,
            created_at=now_ms(),
        )
        for n in range(count)
    ]
    for row in rows:
        await notifications.add(row)
    return rows[::-1]


async def test_the_same_notification_twice_is_once(notifications: Notifications) -> None:
    user_id = fresh_id("u_")
    [row] = await told(notifications, user_id, 1)
    await notifications.add(row)
    assert await notifications.page(user_id, None, 5) == [row]
    assert await notifications.unread_count(user_id) == 1


async def test_pages_are_newest_first_and_of_one_person(notifications: Notifications) -> None:
    user_id = fresh_id("u_")
    rows = await told(notifications, user_id, 5)
    await told(notifications, fresh_id("u_"), 1)
    seen: list[Notification] = []
    while page := await notifications.page(user_id, seen[-1].notification_id if seen else None, 2):
        seen += page
    assert seen == rows


async def test_read_never_moves_backwards(notifications: Notifications) -> None:
    user_id = fresh_id("u_")
    rows = await told(notifications, user_id, 4)
    assert await notifications.read_up_to(user_id) == ""
    assert await notifications.unread_count(user_id) == 4
    for n in (1, 3, 1):
        await notifications.mark_read(user_id, rows[n].notification_id)
        assert await notifications.read_up_to(user_id) == rows[1].notification_id
    assert await notifications.unread_count(user_id) == 1


async def test_liking_again_and_again_is_unread_once(notifications: Notifications) -> None:
    user_id = fresh_id("u_")
    [like] = [row for row in await told(notifications, user_id, 2) if row.type == "like"]
    for _ in range(3):
        await notifications.add(replace(like, notification_id=fresh_id("nt_")))
    assert await notifications.unread_count(user_id) == 2


async def test_malformed_ids_are_refused(notifications: Notifications) -> None:
    with pytest.raises(Unrecoverable):
        await notifications.mark_read(fresh_id("u_"), "nt_short")
    with pytest.raises(Unrecoverable):
        await notifications.page("somebody", None, 5)
