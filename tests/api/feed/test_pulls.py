"""Feeds with celebrities in them: pulled, merged, built when cold, kept for a second."""

import asyncio
import random
from collections.abc import Sequence

import pytest

from api.feed import pulls
from api.feed.builder import FeedBuilder
from api.feed.page import Completeness
from api.feed.reader import FeedReader
from api.resilience.best_effort import BestEffort
from api.resilience.breakers import Breakers
from domain.entities import Counts, Cursor, FeedEntry
from domain.errors import StoreAway
from domain.ports.feeds import FeedPage
from domain.settings import Degradation, Feed
from tests.feed_world import EDGE, Life, World, entry_of, ids_of, photo, post_ids, reader_of
from tests.interleaving import Interleaving

FEED = Feed(cap=20, trim_slack=3)
VIEWER, PUSHED, STAR, OTHER_STAR = range(4)
REDIS = ("timelines", "pulls", "shelf", "follow_cache", "post_cache", "reaction_cache")


async def scene(posts: int, stars: int = 1) -> tuple[Life, str]:
    """The viewer follows somebody and some stars; two of three posts are the stars'."""
    life = Life(await World(FEED, 2 + stars).settle())
    people = life.world.people
    for author in range(PUSHED, 2 + stars):
        await life.world.follows.follow(people[VIEWER], people[author], "e", 0)
    for star in range(stars):
        await life.world.celebrities.start_pulling(people[STAR + star], "ph_00000000000")
    for number in range(posts):
        author = STAR + number // 3 % stars if number % 3 else PUSHED
        await life.world.photos.add(photo(people[author], number, number // 2))
    return life, people[VIEWER]


async def pulled(life: Life, author: str, number: int, at: int) -> FeedEntry:
    """A post that goes into its author's list alone."""
    post = photo(author, number, at)
    await life.world.photos.add(post)
    await life.world.pulls.push(entry_of(post), [author])
    return entry_of(post)


@pytest.mark.parametrize(("stars", "trips"), [(0, 2), (1, 3), (30, 3)])
async def test_a_warm_read_is_two_trips_three_with_celebrities(stars: int, trips: int) -> None:
    life, viewer = await scene(0 if stars == 0 else 15, max(stars, 1))
    if stars == 0:
        await life.unfollow(viewer, life.world.people[STAR])
        await life.world.photos.add(photo(life.world.people[PUSHED], 1, 1))
    cold = await life.reader.home(viewer, None, 10)
    order = Interleaving(random.Random(1))  # noqa: S311 - a test's chance
    for name in REDIS:
        setattr(life.world, name, order.stepped(getattr(life.world, name)))
    warm, counted = await order.trips(reader_of(life.world).home(viewer, None, 10))
    assert warm == cold
    assert warm.posts
    assert counted == trips


async def test_later_pages_cost_no_more_trips() -> None:
    life, viewer = await scene(19)
    first = await life.reader.home(viewer, None, 5)
    second = await life.reader.home(viewer, first.after, 5)
    order = Interleaving(random.Random(1))  # noqa: S311 - a test's chance
    for name in REDIS:
        setattr(life.world, name, order.stepped(getattr(life.world, name)))
    again, counted = await order.trips(reader_of(life.world).home(viewer, first.after, 5))
    assert again == second
    assert counted == 3


@pytest.mark.parametrize("posts", [0, 5, 19, 20, 70])
async def test_a_walk_sees_pushed_and_pulled_posts_once_each(posts: int) -> None:
    life, viewer = await scene(posts, 2)
    await life.read(viewer)
    for star in (STAR, OTHER_STAR):
        await pulled(life, life.world.people[star], 900 + star, 500 + star)
    assert await life.read(viewer) == ids_of(await life.expected(viewer))


async def test_a_star_who_is_followed_no_more_is_hidden_before_the_mark_is_gone() -> None:
    life, viewer = await scene(30)
    await life.read(viewer)
    await life.world.follows.unfollow(viewer, life.world.people[STAR], "e", 0)
    await life.world.follow_cache.forget_following(viewer)
    page = await life.world.timelines.page(viewer, None, 1)
    assert page is not None
    assert page.celebrities
    asked, read_pages = [], life.world.pulls.pages

    async def counted(
        user_ids: Sequence[str], before: Cursor | None, limit: int
    ) -> list[FeedPage | None]:
        asked.append(user_ids)
        return await read_pages(user_ids, before, limit)

    life.world.pulls.pages = counted  # type: ignore[method-assign] # to be counted
    first = await life.reader.home(viewer, None, 5)
    assert len(first.posts) == 5
    assert asked == [[life.world.people[STAR]]], "not for what follows"
    assert await life.read(viewer) == ids_of(await life.expected(viewer))


async def test_a_cold_list_is_built_once_for_all_its_readers() -> None:
    life, viewer = await scene(15)
    want = ids_of(await life.expected(viewer))
    await life.read(viewer)
    await life.world.pulls.drop(life.world.people[STAR])
    begun: list[str] = []
    begin = life.world.pulls.begin_build

    async def counted(user_id: str) -> str:
        begun.append(user_id)
        return await begin(user_id)

    life.world.pulls.begin_build = counted  # type: ignore[method-assign] # to be counted
    pages = await asyncio.gather(*(life.reader.home(viewer, None, 15) for _ in range(5)))
    assert begun == [life.world.people[STAR]]
    assert [post_ids(page) for page in pages] == [want] * 5


async def test_a_list_that_takes_too_long_leaves_the_feed_rebuilding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulls, "_BUILD_LIMIT_S", 0.05)
    life, viewer = await scene(9)
    want = await life.expected(viewer)
    await life.read(viewer)
    await life.world.pulls.drop(star := life.world.people[STAR])
    for old in want[:3]:  # what is left of the star is only in the list
        await life.world.timelines.remove(viewer, [old])
    by_user, go_on = life.world.photos.by_user, asyncio.Event()

    async def held(user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        await go_on.wait()
        return await by_user(user_id, before, limit)

    life.world.photos.by_user = held  # type: ignore[method-assign] # a slow partition
    page = await life.reader.home(viewer, None, 5)
    assert (page.completeness, page.after) == (Completeness.REBUILDING, None)
    assert await life.reader.news(viewer, None, ()) is None, "some may be missing"
    go_on.set()
    for _ in range(100):
        if await life.world.pulls.page(star, None, 1):
            break
        await asyncio.sleep(0.01)
    page = await life.reader.home(viewer, None, 9)
    assert page.completeness is Completeness.COMPLETE


async def test_a_list_that_cannot_be_built_degrades_the_feed() -> None:
    life, viewer = await scene(9)
    await life.read(viewer)
    await life.world.pulls.drop(life.world.people[STAR])

    async def away(*_: object) -> list[FeedEntry]:
        raise StoreAway("gone fishing")

    life.world.photos.by_user = away  # type: ignore[method-assign,assignment] # Cassandra is
    page = await life.reader.home(viewer, None, 5)
    assert page.completeness is Completeness.DEGRADED
    assert page.posts


async def test_lists_that_cannot_be_read_are_read_from_the_stores() -> None:
    life, viewer = await scene(30)
    await life.read(viewer)
    await pulled(life, life.world.people[STAR], 900, 900)

    async def away(*_: object) -> None:
        raise StoreAway("gone fishing")

    life.world.pulls.pages = away  # type: ignore[method-assign,assignment] # Redis is, by then
    page = await life.reader.home(viewer, None, 5)
    assert page.completeness is Completeness.DEGRADED
    assert post_ids(page) == ids_of(await life.expected(viewer))[:5]
    assert await life.reader.news(viewer, None, ()) is None


async def test_the_newest_of_a_list_are_kept_for_a_moment_and_no_longer() -> None:
    life, viewer = await scene(3)
    kept = FEED.model_copy(update={"pull_heads_s": 0.1})
    reader = FeedReader(life.world, EDGE, kept)
    await reader.home(viewer, None, 5)
    await reader.home(viewer, None, 5)
    new = await pulled(life, life.world.people[STAR], 900, 900)
    assert new.post_id not in post_ids(await reader.home(viewer, None, 5))
    larger = await reader.home(viewer, None, 6)  # more than is kept
    assert post_ids(larger)[0] == new.post_id
    newer = await pulled(life, life.world.people[STAR], 901, 901)
    for _ in range(500):
        if post_ids(await reader.home(viewer, None, 5))[0] == newer.post_id:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the newest posts are kept for ever")


async def test_when_its_time_is_over_one_reader_fetches_a_list_for_all() -> None:
    life, _ = await scene(3)
    star, now, asked = life.world.people[STAR], [0.0], [0]
    builder = FeedBuilder(life.world, FEED, Breakers(Degradation()))
    lists = pulls.PullLists(lambda: life.world.pulls, builder, 1.0, lambda: now[0])
    effort = BestEffort(Breakers(Degradation()))

    async def newest(size: int = 5) -> str:
        found = await lists.pages([star], None, size, effort)
        assert found is not None
        return found.pages[0].entries[0].post_id

    old = await newest()
    new = (await pulled(life, star, 900, 900)).post_id
    read_pages, go_on = life.world.pulls.pages, asyncio.Event()

    async def held(
        user_ids: Sequence[str], before: Cursor | None, limit: int
    ) -> list[FeedPage | None]:
        asked[0] += 1
        await go_on.wait()
        return await read_pages(user_ids, before, limit)

    life.world.pulls.pages = held  # type: ignore[method-assign] # slow, and counted
    now[0] = 1.5
    first = asyncio.create_task(newest())
    await asyncio.sleep(0)
    assert [await newest() for _ in range(3)] == [old] * 3
    assert asked == [1]
    others = [asyncio.create_task(newest(6))]  # more than is kept
    await asyncio.sleep(0)
    now[0] = 2.5  # too long ago
    others.append(asyncio.create_task(newest()))
    await asyncio.sleep(0)
    assert asked == [3]
    go_on.set()
    assert await asyncio.gather(first, *others) == [new] * 3
    assert await newest() == new
    assert asked == [3]


async def test_readers_who_miss_the_same_posts_share_their_reads() -> None:
    life, viewer = await scene(12)
    await life.read(viewer)
    read: list[str] = []
    get_many, likers = life.world.photos.get_many, life.world.reactions.likers

    async def counted(photo_ids: list[str]) -> object:
        read.extend(photo_ids)
        await asyncio.sleep(0.01)
        return await get_many(photo_ids)

    liked = (await life.expected(viewer))[0].post_id
    await life.world.reactions.set_like(liked, viewer, 1, liked=True)
    await life.world.reactions.put_counts(liked, Counts(likes=1))

    async def likers_counted(post_id: str) -> list[str]:
        read.append(f"likers of {post_id}")
        await asyncio.sleep(0.01)
        return await likers(post_id)

    life.world.photos.get_many = counted  # type: ignore[method-assign,assignment] # to be counted
    life.world.reactions.likers = likers_counted  # type: ignore[method-assign] # to be counted
    await life.world.post_cache.forget(ids_of(await life.expected(viewer)))
    life.world.reaction_cache.__init__()  # type: ignore[misc] # everything is forgotten
    pages = await asyncio.gather(*(life.reader.home(viewer, None, 12) for _ in range(8)))
    assert sorted(set(read)) == sorted(read)
    assert f"likers of {liked}" in read
    assert all(page == pages[0] for page in pages)
    assert pages[0].completeness is Completeness.COMPLETE
    assert len(pages[0].posts) == 12
