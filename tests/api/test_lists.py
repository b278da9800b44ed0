"""Notifications and hashtags."""

import asyncio
import secrets

import pytest

from domain.entities import Notification
from tests.api.world import World, is_problem
from tests.fresh import fresh_id, now_ms


async def told(world: World, user_id: str, kind: str, actor_id: str, post_id: str | None) -> str:
    notice = Notification(fresh_id("nt_"), user_id, kind, actor_id, post_id, now_ms())
    await world.stores.notifications.add(notice)
    return notice.notification_id


async def test_likes_of_one_post_are_one_line(world: World) -> None:
    ann, bob, eve = [await world.someone() for _ in range(3)]
    post = (await world.post(ann)).photo_id
    await told(world, ann.user_id, "like", bob.user_id, post)
    await told(world, ann.user_id, "follow", bob.user_id, None)
    newest = await told(world, ann.user_id, "like", eve.user_id, post)
    page = (await world.call("GET", "/notifications", ann)).json()
    assert page["unread_count"] == 3
    assert [line["type"] for line in page["notifications"]] == ["like", "follow"]
    first = page["notifications"][0]
    assert first["notification_id"] == newest
    assert [actor["user_id"] for actor in first["actors"]] == [eve.user_id, bob.user_id]
    assert (first["post_id"], first["read"]) == (post, False)
    assert (page["has_more"], page["next_cursor"]) == (False, None)


async def test_reading_never_moves_backwards(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    notices = [await told(world, ann.user_id, "follow", bob.user_id, None) for _ in range(3)]
    for up_to, unread in ((notices[1], 1), (notices[0], 1), (notices[2], 0)):
        answer = await world.call("POST", "/notifications/read", ann, json={"up_to": up_to})
        assert answer.json() == {"unread_count": unread}
    page = (await world.call("GET", "/notifications", ann)).json()
    assert [line["read"] for line in page["notifications"]] == [True] * 3


@pytest.mark.parametrize("up_to", ["", "x", "u_00000000000", "nt_zzzzzzzzzzz", "nt_AzL8n0Y58m7"])
async def test_what_is_no_notification_or_not_yet_is_refused(world: World, up_to: str) -> None:
    ann = await world.someone()
    answer = await world.call("POST", "/notifications/read", ann, json={"up_to": up_to})
    is_problem(answer, 422, "validation")


async def test_notifications_page_without_gap_or_repeat(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    posts = [(await world.post(ann)).photo_id for _ in range(3)]
    made = {
        await told(world, ann.user_id, kind, bob.user_id, post)
        for post in posts
        for kind in ("like", "comment", "comment")
    }
    lines: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await world.call("GET", f"/notifications?limit=2{cursor}", ann)).json()
        lines += [line["notification_id"] for line in page["notifications"]]
        cursor = f"&cursor={page['next_cursor']}" if page["has_more"] else None
    assert set(lines) == made
    assert lines == sorted(lines, reverse=True)


async def test_a_tag_finds_its_live_posts_newest_first(world: World) -> None:
    ann = await world.someone()
    tag = "t" + secrets.token_hex(8)
    posts = [await world.post(ann, tags=(tag,)) for _ in range(3)]
    for post in posts:
        document = {
            "post_id": post.photo_id,
            "user_id": ann.user_id,
            "published_at": post.published_at,
            "tags": [tag],
        }
        await world.stores.search_index.put(post.photo_id, document, 1)
    gone = {"post_id": fresh_id("ph_"), "user_id": ann.user_id, "published_at": 1, "tags": [tag]}
    await world.stores.search_index.put(str(gone["post_id"]), gone, 1)
    async with asyncio.timeout(10):
        while len(await world.stores.search_index.by_tag(tag, None, 9)) < 4:  # noqa: ASYNC110 - the index's refresh tells nobody
            await asyncio.sleep(0.2)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        path = f"/hashtag/%23{tag.upper()}?limit=2{cursor}"
        page = (await world.call("GET", path, ann)).json()
        found += [post["post_id"] for post in page["posts"]]
        cursor = f"&cursor={page['next_cursor']}" if page["has_more"] else None
    assert found == [post.photo_id for post in reversed(posts)]


async def test_a_tag_nobody_used_is_an_empty_list(world: World) -> None:
    ann = await world.someone()
    page = (await world.call("GET", f"/hashtag/{secrets.token_hex(8)}", ann)).json()
    assert (page["posts"], page["next_cursor"], page["has_more"]) == ([], None, False)
    is_problem(await world.call("GET", "/hashtag/a%20b", ann), 422, "validation")
