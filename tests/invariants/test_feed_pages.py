"""I4: pages never skip or repeat, with equal times, and whatever happens between two of them."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from api.feed.page import Completeness
from domain.entities import Cursor, PhotoStatus
from domain.settings import Feed
from tests.feed_world import Life, World, ids_of, photo, post_ids

FEED = Feed(cap=20, trim_slack=3)
VIEWER, FIRST, SECOND = range(3)
EVENTS = st.lists(
    st.sampled_from(["post", "same time", "delete", "evict", "trim", "refill", "nothing"]),
    max_size=12,
)


async def settled(older: int) -> Life:
    """The viewer follows two people with `older` posts, several a millisecond."""
    life = Life(await World(FEED, 3).settle())
    people = life.world.people
    for author in (FIRST, SECOND):
        await life.follow(people[VIEWER], people[author])
    for number in range(older):
        await life.world.photos.add(photo(people[FIRST + number % 2], number, number // 6))
    return life


async def happen(life: Life, event: str, number: int, chance: random.Random) -> str | None:
    """Something between two pages; the id of a post that is gone."""
    people, rows = life.world.people, life.world.photos.rows
    if event == "post":
        await life.post(photo(people[FIRST], number, 1000 + number))
    elif event == "same time":  # as the newest that were there: it belongs above every cursor
        await life.post(photo(people[SECOND], number, 999))
    elif event == "delete" and rows:
        gone = chance.choice(sorted(rows))
        rows[gone] = replace(rows[gone], status=PhotoStatus.DELETED)
        await life.world.post_cache.forget([gone])
        return gone
    elif event == "evict":
        await life.world.timelines.drop(people[VIEWER])
    elif event == "trim":
        for step in range(FEED.trim_slack + 1):
            await life.post(photo(people[FIRST], number * 100 + step, 5000 + number))
    elif event == "refill":
        await life.unfollow(people[VIEWER], people[SECOND])
        await life.follow(people[VIEWER], people[SECOND])
    return None


@settings(max_examples=150, deadline=None)
@given(
    older=st.integers(0, 60),
    limit=st.integers(1, 9),
    events=EVENTS,
    chance=st.randoms(use_true_random=False),
)
async def test_walking_a_feed_sees_every_post_that_was_and_stays_there_once(
    older: int, limit: int, events: list[str], chance: random.Random
) -> None:
    life = await settled(older)
    viewer = life.world.people[VIEWER]
    at_first = ids_of(await life.expected(viewer))
    gone: set[str] = set()
    seen: list[str] = []
    before: Cursor | None = None
    happening = iter(enumerate(events, start=100))
    while True:
        page = await life.reader.home(viewer, before, limit)
        assert page.completeness is Completeness.COMPLETE
        seen += post_ids(page)
        if (before := page.after) is None:
            break
        assert len(page.posts) == limit
        number, event = next(happening, (0, "nothing"))
        if lost := await happen(life, event, number, chance):
            gone.add(lost)
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen, key=at_first.index)
    assert set(at_first) - gone <= set(seen) <= set(at_first)
    await life.reader.close()


@settings(max_examples=50, deadline=None)
@given(older=st.integers(0, 40), limit=st.integers(1, 9))
async def test_walking_a_grid_sees_every_post_once(older: int, limit: int) -> None:
    life = await settled(older)
    viewer, author = life.world.people[VIEWER], life.world.people[FIRST]
    before: Cursor | None = None
    seen: list[str] = []
    while page := await life.reader.grid(author, viewer, before, limit):
        seen += post_ids(page)
        if (before := page.after) is None:
            break
    want = [each for each in await life.expected(viewer) if each.author_id == author]
    assert seen == ids_of(want)
