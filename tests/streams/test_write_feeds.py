"""fanout.chunk → feeds: present followers of the range, once, and only feeds that exist."""

from dataclasses import replace
from typing import Never

import pytest

from domain.errors import StoreAway, Transient
from domain.settings import Feed
from schemas.events import FanoutChunk
from streams.write_feeds import WriteFeeds
from tests.feed_world import T0, World, entry_of, photo

AUTHOR = 0


async def fails(*_: object) -> Never:
    """A server that answers that it can't."""
    raise Transient("too much to do")


async def away(*_: object) -> Never:
    """A server that doesn't answer."""
    raise StoreAway("gone fishing")


async def feed_of(world: World, who: int) -> list[str] | None:
    page = await world.timelines.page(world.people[who], None, 100)
    return None if page is None else [entry.post_id for entry in page.entries]


async def scene(people: int) -> tuple[World, WriteFeeds, FanoutChunk]:
    """Everybody but the first follows the first and has a built feed."""
    world = await World(Feed(), people).settle()
    for follower in world.people[1:]:
        await world.follows.follow(follower, world.people[AUTHOR], "e", 0)
        await world.timelines.finish_build(
            follower, await world.timelines.begin_build(follower), []
        )
    post = entry_of(photo(world.people[AUTHOR], 1, 0))
    chunk = FanoutChunk(
        event_id="e.chunk0",
        occurred_at=T0,
        version=1,
        post_id=post.post_id,
        user_id=post.author_id,
        published_at=post.published_at,
        chunk_no=0,
        after_id=world.people[1],
        upto_id=world.people[3],
    )
    return world, WriteFeeds(world.follows, world.timelines, world.celebrities), chunk


async def test_the_range_gets_the_post_once_however_often_it_is_delivered() -> None:
    world, write, chunk = await scene(5)
    for _ in range(2):
        assert await write(chunk) == ()
    feeds = [await feed_of(world, who) for who in range(1, 5)]
    assert feeds == [[], [chunk.post_id], [chunk.post_id], []]


async def test_who_unfollowed_since_the_plan_gets_nothing() -> None:
    world, write, chunk = await scene(4)
    await world.follows.unfollow(world.people[2], world.people[AUTHOR], "e", 1)
    await write(chunk)
    assert await feed_of(world, 2) == []
    assert await feed_of(world, 3) == [chunk.post_id]


@pytest.mark.parametrize("store", ["timelines", "follows"])
async def test_where_a_mark_fails_the_authors_next_post_tells_again(store: str) -> None:
    """It may end in the dead letters; until it is replayed those readers would lack all posts."""
    world, write, chunk = await scene(4)
    star, celebrities = world.people[AUTHOR], world.celebrities
    await celebrities.start_pulling(star, chunk.post_id)
    await celebrities.pulling_told(star, chunk.post_id)
    with pytest.MonkeyPatch.context() as monkey:
        for step in ("push", "mark_celebrity") if store == "timelines" else ("followers_between",):
            monkey.setattr(getattr(world, store), step, fails)
        with pytest.raises(Transient):
            await write(chunk)
        assert not await celebrities.start_pulling(star, "ph_00000000009"), "it marks nothing"
        with pytest.raises(Transient):
            await write(replace(chunk, mark=True))
    assert await celebrities.start_pulling(star, "ph_00000000009")


async def test_a_server_that_is_away_is_waited_for_and_nobody_tells_again() -> None:
    world, write, chunk = await scene(4)
    star, celebrities = world.people[AUTHOR], world.celebrities
    await celebrities.start_pulling(star, chunk.post_id)
    await celebrities.pulling_told(star, chunk.post_id)
    world.timelines.mark_celebrity = away  # type: ignore[assignment,method-assign] # as if it were away
    with pytest.raises(StoreAway):
        await write(replace(chunk, mark=True))
    assert not await celebrities.start_pulling(star, "ph_00000000009")


async def test_a_cold_feed_stays_cold() -> None:
    world, write, chunk = await scene(4)
    await world.timelines.drop(world.people[2])
    await write(chunk)
    assert await feed_of(world, 2) is None


async def pulls_of(world: World, who: int) -> list[str] | None:
    page = await world.timelines.page(world.people[who], None, 100)
    return None if page is None else list(page.celebrities)


async def test_a_mark_names_the_author_once_and_brings_no_post() -> None:
    world, write, chunk = await scene(5)
    await world.timelines.drop(world.people[3])
    for _ in range(2):
        assert await write(replace(chunk, mark=True)) == ()
    author = world.people[AUTHOR]
    assert [await pulls_of(world, who) for who in range(1, 5)] == [[], [author], None, []]
    assert await feed_of(world, 2) == []
