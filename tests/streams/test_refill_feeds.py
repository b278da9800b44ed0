"""follow.* → feeds: the feed follows the graph, whatever the events say and when they come."""

from collections.abc import Sequence

from domain.entities import Edge, FeedEntry
from domain.settings import Feed
from schemas.events import FollowCreated, FollowDeleted
from tests.feed_world import T0, Life, World, ids_of, photo

FEED = Feed(cap=20, trim_slack=3)
VIEWER, AUTHOR = range(2)


async def scene(posts: int) -> tuple[Life, str, str]:
    """The author has posts; the viewer's feed is built and empty."""
    life = Life(await World(FEED, 2).settle())
    viewer, author = life.world.people
    for number in range(posts):
        await life.world.photos.add(photo(author, number, number))
    await life.reader.home(viewer, None, 5)
    return life, viewer, author


def created(edge: Edge) -> FollowCreated:
    return FollowCreated(
        event_id="e",
        occurred_at=T0,
        version=edge.version,
        follower_id=edge.follower_id,
        followee_id=edge.followee_id,
    )


def deleted(edge: Edge) -> FollowDeleted:
    return FollowDeleted(
        event_id="e",
        occurred_at=T0,
        version=edge.version,
        follower_id=edge.follower_id,
        followee_id=edge.followee_id,
    )


async def stored(life: Life, viewer: str) -> list[str]:
    page = await life.world.timelines.page(viewer, None, 100)
    return ids_of(page.entries) if page else []


async def test_a_follow_brings_the_posts_in_and_an_unfollow_takes_them_out() -> None:
    life, viewer, author = await scene(5)
    await life.follow(viewer, author)
    want = ids_of(await life.expected(viewer))
    assert len(want) == 5
    assert await life.read(viewer) == await stored(life, viewer) == want
    await life.unfollow(viewer, author)
    assert await life.read(viewer) == await stored(life, viewer) == []
    await life.follow(viewer, author)
    assert await life.read(viewer) == await stored(life, viewer) == want


async def test_an_author_with_more_posts_than_a_feed_holds_is_read_on_below() -> None:
    life, viewer, author = await scene(50)
    await life.follow(viewer, author)
    assert len(await stored(life, viewer)) < FEED.cap
    assert await life.read(viewer) == ids_of(await life.expected(viewer))


async def test_late_and_repeated_events_change_nothing() -> None:
    life, viewer, author = await scene(3)
    first = await life.world.follows.follow(viewer, author, "e", 0)
    gone = await life.world.follows.unfollow(viewer, author, "e", 0)
    again = await life.world.follows.follow(viewer, author, "e", 0)
    for event in (deleted(gone), created(again), created(first), deleted(gone), deleted(gone)):
        await life.refill(event)
    assert await stored(life, viewer) == ids_of(await life.expected(viewer))
    last = await life.world.follows.unfollow(viewer, author, "e", 0)
    for event in (deleted(last), created(again), created(first)):
        await life.refill(event)
    assert await stored(life, viewer) == []


async def test_a_cold_feed_is_left_to_its_build() -> None:
    life, viewer, author = await scene(3)
    await life.world.timelines.drop(viewer)
    await life.follow(viewer, author)
    assert not await life.world.timelines.exists(viewer)
    assert await life.read(viewer) == ids_of(await life.expected(viewer))


async def pulled(life: Life, viewer: str) -> list[str]:
    page = await life.world.timelines.page(viewer, None, 100)
    return list(page.celebrities) if page else []


async def test_a_pulled_author_is_marked_while_followed() -> None:
    life, viewer, author = await scene(3)
    await life.follow(viewer, author)
    assert await pulled(life, viewer) == []
    await life.unfollow(viewer, author)
    await life.world.celebrities.start_pulling(author, "ph_1")
    await life.follow(viewer, author)
    assert await pulled(life, viewer) == [author]
    await life.unfollow(viewer, author)
    assert await pulled(life, viewer) == []
    await life.follow(viewer, author)
    assert await pulled(life, viewer) == [author]
    assert await stored(life, viewer) == ids_of(await life.expected(viewer))


async def test_a_follow_while_the_marks_are_written_is_marked_by_one_of_the_two() -> None:
    life, viewer, author = await scene(0)
    add = life.world.timelines.add_entries

    async def slow(user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Between the edge and its refill's last step, the author's first pulled post comes."""
        await add(user_id, entries)
        await life.world.celebrities.flag(author, 1, 0)
        await life.post(photo(author, 50, 50))

    life.world.timelines.add_entries = slow  # type: ignore[method-assign] # a step made slow
    await life.follow(viewer, author)
    assert await pulled(life, viewer) == [author]


async def test_the_cached_follow_set_is_forgotten() -> None:
    life, viewer, author = await scene(0)
    cache = life.world.follow_cache
    await cache.put_following(viewer, [], await cache.following_token(viewer))
    assert await cache.following(viewer) == frozenset()
    await life.follow(viewer, author)
    assert await life.world.follow_cache.following(viewer) is None


async def test_a_removal_that_a_refollow_overtakes_is_made_good() -> None:
    life, viewer, author = await scene(3)
    await life.follow(viewer, author)
    gone = await life.world.follows.unfollow(viewer, author, "e", 0)
    timelines = life.world.timelines
    remove = timelines.remove_author

    async def late(user_id: str, author_id: str) -> None:
        """The removal, held up until the refollow's own refill is through."""
        timelines.remove_author = remove  # type: ignore[method-assign] # this once
        await life.follow(viewer, author)
        await remove(user_id, author_id)

    timelines.remove_author = late  # type: ignore[method-assign] # a step made slow
    await life.refill(deleted(gone))
    assert await stored(life, viewer) == ids_of(await life.expected(viewer))
