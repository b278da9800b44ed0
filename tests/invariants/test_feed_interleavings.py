"""I1, I2, I10: whatever order stores see the steps in, a feed is its follows and posts, once each.

Every store call of every actor is a step; Hypothesis chooses the order. At the end the feed that
is read, page by page, is the pure function of follows and posts, and so is the set above its
floor: what fan-out and backfills made equals what a rebuild makes. Who becomes a celebrity on the
way is pulled from then on; that loses and doubles nothing.
"""

import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.settings import Feed
from tests.feed_world import Life, World, above, ids_of, photo
from tests.interleaving import Interleaving

FEED = Feed(cap=20, trim_slack=3, pull_heads_s=0)
VIEWER, READER, FIRST, SECOND = range(4)

Step = tuple[str, int]
SEEDS = st.integers(0, 1 << 32).map(random.Random)
AUTHORS = st.sampled_from([FIRST, SECOND])
ACTORS = st.lists(
    st.lists(
        st.one_of(
            st.tuples(st.just("post"), AUTHORS),
            st.tuples(st.just("follow"), AUTHORS),
            st.tuples(st.just("unfollow"), AUTHORS),
            st.tuples(st.just("flag"), AUTHORS),
            st.tuples(st.just("clear"), AUTHORS),
            st.tuples(st.just("read"), st.just(VIEWER)),
            st.tuples(st.just("evict"), st.sampled_from([VIEWER, FIRST, SECOND])),
        ),
        min_size=1,
        max_size=4,
    ),
    min_size=2,
    max_size=4,
)


async def scene(seed: random.Random, start: str, older: int) -> tuple[Life, Interleaving]:
    """A world behind gates; `start` says what state the viewer's feed is in."""
    world = await World(FEED, 4).settle()
    for number in range(older):
        author = world.people[FIRST + number % 2]
        await world.photos.add(photo(author, number, number // 3))
    await world.follows.follow(world.people[VIEWER], world.people[FIRST], "e", 0)
    await world.follows.follow(world.people[READER], world.people[FIRST], "e", 0)
    if start == "warm":
        await Life(world).read(world.people[VIEWER])
    order = Interleaving(seed)
    for name in ("follows", "photos", "timelines", "pulls", "follow_cache", "celebrities"):
        setattr(world, name, order.stepped(getattr(world, name)))
    return Life(world), order


async def act(life: Life, steps: list[Step], numbers: Callable[[], int]) -> None:
    """One actor: its steps one after the other."""
    people = life.world.people
    viewer = people[VIEWER]
    for name, who in steps:
        if name == "post":
            number = numbers()
            await life.post(photo(people[who], number, number // 3))
        elif name == "follow":
            await life.follow(viewer, people[who])
        elif name == "unfollow":
            await life.unfollow(viewer, people[who])
        elif name in ("flag", "clear"):
            await change_flag(life.world, people[who], flagged=name == "flag")
        elif name == "read":
            await life.reader.home(viewer, None, 5)
        else:
            await life.world.timelines.drop(people[who])
            await life.world.pulls.drop(people[who])


async def change_flag(world: World, user_id: str, *, flagged: bool) -> None:
    """The durable flag, then its mirror."""
    if flagged:
        await world.celebrities.flag(user_id, 0, 0)
    else:
        await world.celebrities.clear(user_id)
    await world.follow_cache.put_celebrity(user_id, flagged=flagged)


async def check(life: Life) -> None:
    """The set above its floor, what is read, and a rebuild are all the same feed."""
    viewer = life.world.people[VIEWER]
    want = await life.expected(viewer)
    for _ in ("as it is", "rebuilt"):
        assert await life.read(viewer) == ids_of(want)
        page = await life.world.timelines.page(viewer, None, 10_000)
        assert page is not None
        followees = set(await life.world.follows.following(viewer))
        stored = [entry for entry in page.entries if entry.author_id in followees]
        assert set(stored) <= set(want)
        pushed = [entry for entry in want if entry.author_id not in page.celebrities]
        assert [e for e in stored if e.author_id not in page.celebrities] == above(
            pushed, page.floor
        )
        await life.world.timelines.drop(viewer)


@pytest.mark.parametrize("start", ["cold", "warm"])
@settings(max_examples=100, deadline=None)
@given(actors=ACTORS, seed=SEEDS, older=st.integers(0, 50))
async def test_a_feed_is_its_follows_and_posts_in_any_order(
    start: str, actors: list[list[Step]], seed: random.Random, older: int
) -> None:
    life, order = await scene(seed, start, older)
    numbers = iter(range(100, 1000))
    running: list[Coroutine[Any, Any, None]] = [
        act(life, steps, numbers.__next__) for steps in actors
    ]
    await order.run(*running)
    await check(life)
    await life.reader.close()


@pytest.mark.parametrize("start", ["cold", "warm", "building"])
@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, older=st.integers(0, 30))
async def test_a_follow_and_a_concurrent_post_cannot_miss_each_other(
    start: str, seed: random.Random, older: int
) -> None:
    life, order = await scene(seed, start, older)
    numbers = iter(range(100, 1000))
    actors: list[list[Step]] = [[("follow", SECOND)], [("post", SECOND), ("post", FIRST)]]
    if start == "building":
        actors.append([("read", VIEWER)])
    await order.run(*(act(life, steps, numbers.__next__) for steps in actors))
    await check(life)
    await life.reader.close()


@pytest.mark.parametrize("start", ["cold", "warm", "building"])
@settings(max_examples=100, deadline=None)
@given(seed=SEEDS)
async def test_a_refollow_overtaking_an_unfollow_loses_nothing(
    start: str, seed: random.Random
) -> None:
    life, order = await scene(seed, start, 10)
    actors: list[list[Step]] = [[("unfollow", FIRST)], [("unfollow", FIRST), ("follow", FIRST)]]
    if start == "building":
        actors.append([("read", VIEWER)])
    numbers = iter(range(100, 1000))
    await order.run(*(act(life, steps, numbers.__next__) for steps in actors))
    await check(life)
    await life.reader.close()


@pytest.mark.parametrize("start", ["cold", "warm", "building"])
@settings(max_examples=100, deadline=None)
@given(seed=SEEDS, older=st.integers(0, 30))
async def test_whom_pulling_begins_with_is_missed_by_nobody(
    start: str, seed: random.Random, older: int
) -> None:
    life, order = await scene(seed, start, older)
    numbers = iter(range(100, 1000))
    actors: list[list[Step]] = [
        [("flag", FIRST), ("post", FIRST), ("post", FIRST)],
        [("unfollow", FIRST), ("follow", FIRST)],
        [("flag", SECOND), ("post", SECOND), ("clear", SECOND), ("post", SECOND)],
        [("follow", SECOND)],
    ]
    if start == "building":
        actors.append([("read", VIEWER)])
    await order.run(*(act(life, steps, numbers.__next__) for steps in actors))
    await check(life)
    await life.reader.close()
