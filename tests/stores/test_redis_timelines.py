"""Feeds in Redis beside what every Timelines promises: lives, scripts, keys that came too late."""

import pytest

from domain.entities import FeedEntry
from domain.errors import Unrecoverable
from domain.feed import member
from domain.ids import spell
from stores.connect import Stores
from stores.redis_commands import KEY, Template, ask
from stores.redis_feed_page import celebrity_mark
from stores.redis_timelines import RedisTimelines
from tests.fresh import fresh_id
from tests.timelines import AUTHORS, FEED, build, entries, entry, read


@pytest.fixture
def user() -> str:
    return fresh_id("u_")


async def test_reads_renew_a_feeds_life_and_writes_do_not(any_stores: Stores, user: str) -> None:
    timelines = RedisTimelines(any_stores.redis_server, FEED)
    await build(timelines, user, [])
    key = f"feed:{user}"
    await any_stores.redis_server.call("EXPIRE", key, 60)
    await timelines.push(entry(1), [user])
    await timelines.add_entries(user, entries(3))
    assert await any_stores.redis_server.call("TTL", key) <= 60
    await timelines.page(user, None, 10)
    assert await any_stores.redis_server.call("TTL", key) > 60


async def test_marks_do_not_pile_up(any_stores: Stores, user: str) -> None:
    timelines = RedisTimelines(any_stores.redis_server, FEED)
    for _ in range(3):
        await timelines.begin_build(user)
    await build(timelines, user, entries(FEED.cap))
    for each in reversed(entries(50, start=100)):
        await timelines.push(each, [user])
    marks = await any_stores.redis_server.call("ZCOUNT", f"feed:{user}", "+inf", "+inf")
    assert marks == 2, "built, floor"


async def forget_scripts(any_stores: Stores, user: str) -> None:
    """At the node that has the user's feed."""
    template = Template(("ZCARD", KEY), ("SCRIPT", "FLUSH"))
    await any_stores.redis_server.ask(ask(template, [f"feed:{user}"]))


async def test_a_script_cache_that_was_lost_is_no_error(any_stores: Stores, user: str) -> None:
    timelines = RedisTimelines(any_stores.redis_server, FEED)
    await build(timelines, user, [])
    await forget_scripts(any_stores, user)
    await timelines.push(entry(1), [user])
    await forget_scripts(any_stores, user)
    await timelines.add_entries(user, [entry(2, 2)])
    assert len(await read(timelines, user)) == 2


async def test_what_is_no_post_never_gets_into_a_feed(any_stores: Stores, user: str) -> None:
    timelines = RedisTimelines(any_stores.redis_server, FEED)
    await build(timelines, user, [])
    for bad in (FeedEntry(1, "x", AUTHORS[0]), FeedEntry(1, f"ph_{spell(1)}", "a\0b")):
        with pytest.raises(Unrecoverable):
            await timelines.push(bad, [user])
    assert await read(timelines, user) == []


async def test_entries_without_marks_are_no_feed(any_stores: Stores, user: str) -> None:
    """A push that was late for a feed that had just gone brings no feed back."""
    server, key = any_stores.redis_server, f"feed:{user}"
    timelines = RedisTimelines(server, FEED)
    late = entry(1, 1)
    await server.call("ZADD", key, late.published_at, member(late))
    assert await timelines.page(user, None, 10) is None
    assert not await timelines.exists(user)
    assert await timelines.push(entry(2, 2), [user]) == 0
    assert await server.call("EXISTS", key) == 0
    await server.call("ZADD", key, late.published_at, member(late))
    await build(timelines, user, [entry(2, 2)])
    assert await read(timelines, user) == [entry(2, 2), late]
    assert await server.call("TTL", key) > 0


async def test_a_mark_that_came_late_is_no_feed_either(any_stores: Stores, user: str) -> None:
    """Else a set without a life of its own would grow for somebody who never reads."""
    server, key = any_stores.redis_server, f"feed:{user}"
    timelines = RedisTimelines(server, FEED)
    await server.call("ZADD", key, "+inf", celebrity_mark(AUTHORS[0]))
    await timelines.add_entries(user, [entry(1, 1)])
    assert await server.call("ZCARD", key) == 1
    assert await timelines.push(entry(2, 2), [user]) == 0
    assert await server.call("EXISTS", key) == 0


async def test_many_feeds_get_a_post_by_several_batches(any_stores: Stores) -> None:
    timelines = RedisTimelines(any_stores.redis_server, FEED)
    users = [fresh_id("u_") for _ in range(2500)]
    warm = users[::3]
    for each in warm:
        await build(timelines, each, entries(FEED.cap))
    newest = entry(1000, 1000)
    assert await timelines.push(newest, users) == len(warm)
    pages = await timelines.pages(users, None, 1)
    assert [page and page.entries for page in pages[::3]] == [[newest]] * len(warm)
    assert not any(page for number, page in enumerate(pages) if number % 3)


async def test_a_feed_of_a_former_spelling_is_cold_and_goes(any_stores: Stores, user: str) -> None:
    server, key = any_stores.redis_server, f"feed:{user}"
    timelines = RedisTimelines(server, FEED)
    old = f"{spell(1)}{AUTHORS[0].removeprefix('u_')}"
    await server.call("ZADD", key, 1_800_000_000_000, old, "+inf", "!built")
    assert await timelines.page(user, None, 10) is None
    assert not await timelines.exists(user)
    await build(timelines, user, [entry(1)])
    assert await read(timelines, user) == [entry(1)]
