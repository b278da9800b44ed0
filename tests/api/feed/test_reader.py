"""Feed reads over the twins: what a page holds, how many trips it takes, and absent stores."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from api.feed import reader
from api.feed.page import Completeness
from api.feed.reader import FeedReader
from domain.entities import Counts, Cursor, FeedEntry, PhotoStatus
from domain.errors import StoreAway
from domain.feed import place
from domain.ports.feeds import FeedPage, Shown
from domain.post_json import join_page
from domain.settings import Feed
from schemas.events import Location
from tests.feed_world import EDGE, Life, World, ids_of, photo, post_ids, reader_of
from tests.interleaving import Interleaving

FEED = Feed(cap=20, trim_slack=3)
VIEWER, FIRST, SECOND, STRANGER = range(4)
REDIS = ("timelines", "pulls", "shelf", "follow_cache", "post_cache", "reaction_cache")
CASSANDRA = ("photos", "reactions")
POSTGRES = ("users", "follows", "celebrities")


class Away:
    """A store that doesn't answer."""

    def __getattr__(self, name: str) -> object:
        async def fail(*_: object, **__: object) -> None:
            raise StoreAway("gone fishing")

        return fail


async def scene(posts: int) -> tuple[Life, str]:
    """The viewer follows two people with `posts` posts; nothing is cached."""
    life = Life(await World(FEED, 4).settle())
    people = life.world.people
    for author in (FIRST, SECOND):
        await life.world.follows.follow(people[VIEWER], people[author], "e", 0)
    for number in range(posts):
        await life.world.photos.add(photo(people[FIRST + number % 2], number, number // 2))
    return life, people[VIEWER]


def without(life: Life, *stores: str) -> FeedReader:
    """A reader for whom these stores are away from now on."""
    for name in stores:
        setattr(life.world, name, Away())
    return reader_of(life.world)


async def test_a_post_has_the_shape_of_the_contract() -> None:
    life, viewer = await scene(0)
    author = life.world.people[FIRST]
    portrait = photo(author, 1, 5)
    await life.world.photos.add(portrait)
    await life.world.users.update(author, avatar_photo_id=portrait.photo_id)
    post = replace(
        photo(author, 2, 1_007),
        tags=("sun", "set"),
        location=Location(36.5, -121.25),
        alt_text='a "quoted" sunset',
        placeholder="abc=",
    )
    await life.world.photos.add(post)
    await life.world.reactions.put_counts(post.photo_id, Counts(1, 3))
    await life.world.reactions.set_like(post.photo_id, viewer, 1, liked=True)
    page = await life.reader.home(viewer, None, 1)
    body = msgspec.json.decode(join_page(page.posts, "c", page.completeness))
    assert body.pop("posts") == [
        {
            "post_id": post.photo_id,
            "user": {
                "user_id": author,
                "username": f"name{FIRST}",
                "avatar_url": f"{EDGE}/pub/{portrait.photo_id}/ab/thumbnail.jpg",
            },
            "caption": "number 2",
            "tags": ["sun", "set"],
            "location": {"lat": 36.5, "lon": -121.25},
            "alt_text": 'a "quoted" sunset',
            "image_urls": {
                "thumbnail": f"{EDGE}/pub/{post.photo_id}/ab/thumbnail.jpg",
                "feed": f"{EDGE}/pub/{post.photo_id}/cd/feed.jpg",
            },
            "width": 4,
            "height": 3,
            "placeholder": "abc=",
            "like_count": 1,
            "comment_count": 3,
            "liked_by_viewer": True,
            "created_at": "2027-01-15T08:00:01.007Z",
        }
    ]
    assert body == {"next_cursor": "c", "has_more": True, "completeness": "complete"}
    again = await life.reader.home(viewer, None, 1)
    assert again == page
    stranger = await life.reader.grid(author, life.world.people[STRANGER], None, 1)
    assert stranger is not None
    assert msgspec.json.decode(stranger.posts[0])["liked_by_viewer"] is False


async def test_each_viewer_sees_what_is_warm_and_their_own_like() -> None:
    life, viewer = await scene(1)
    author, stranger = life.world.people[FIRST], life.world.people[STRANGER]
    [post] = ids_of(await life.expected(viewer))
    await life.world.reaction_cache.put_likers(post, [viewer])
    await life.world.reaction_cache.put_counts(post, Counts(1, 2))

    async def seen_by(who: str) -> tuple[int, int, bool]:
        page = await life.reader.grid(author, who, None, 1)
        assert page is not None
        shown = msgspec.json.decode(page.posts[0])
        return shown["like_count"], shown["comment_count"], shown["liked_by_viewer"]

    for missed in ([post, author], [post], [author], []):
        await life.world.post_cache.forget(missed)
        assert await seen_by(viewer) == (1, 2, True)
        assert await seen_by(stranger) == (1, 2, False)
    await life.world.reaction_cache.note_click(post, viewer, "e", liked=False)
    await life.world.reaction_cache.note_click(post, stranger, "e", liked=True)
    assert await seen_by(viewer) == (0, 2, False)
    assert await seen_by(stranger) == (2, 2, True)


async def test_an_empty_page_is_a_page() -> None:
    life, viewer = await scene(0)
    page = await life.reader.home(viewer, None, 5)
    assert join_page(page.posts, None, page.completeness) == (
        b'{"posts":[],"next_cursor":null,"has_more":false,"completeness":"complete"}'
    )


async def test_a_warm_read_is_two_trips_and_asks_redis_alone() -> None:
    life, viewer = await scene(15)
    cold = await life.reader.home(viewer, None, 10)
    order = Interleaving(random.Random(1))  # noqa: S311 - a test's chance
    for name in REDIS:
        setattr(life.world, name, order.stepped(getattr(life.world, name)))
    reader = without(life, *CASSANDRA, *POSTGRES)
    warm, trips = await order.trips(reader.home(viewer, None, 10))
    assert warm == cold
    assert warm.completeness is Completeness.COMPLETE
    assert trips == 2


async def test_what_the_process_knows_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    life, viewer = await scene(3)
    cold = await life.reader.home(viewer, None, 5)
    shown = await life.world.shelf.read(await life.expected(viewer), viewer)
    monkeypatch.setattr(life.world.shelf, "known", lambda *_: shown)
    monkeypatch.setattr(life.world.shelf, "read", Away().read)
    assert await life.reader.home(viewer, None, 5) == cold


async def delete(life: Life, post_ids: Sequence[str]) -> None:
    """These are gone, and what was cached of them too."""
    rows = life.world.photos.rows
    for gone in post_ids:
        rows[gone] = replace(rows[gone], status=PhotoStatus.DELETED)
        await life.world.post_cache.forget([gone])


async def test_pages_are_filled_up_past_what_is_gone() -> None:
    life, viewer = await scene(30)
    await life.reader.home(viewer, None, 5)
    want = ids_of(await life.expected(viewer))
    await delete(life, want[:16])
    page = await life.reader.home(viewer, None, 5)
    assert post_ids(page) == want[16:21]
    assert page.after is not None


async def test_the_last_full_page_promises_no_more() -> None:
    life, viewer = await scene(10)
    page = await life.reader.home(viewer, None, 10)
    assert len(page.posts) == 10
    assert page.after is None


async def test_who_is_no_longer_followed_is_hidden_before_any_removal() -> None:
    life, viewer = await scene(6)
    await life.reader.home(viewer, None, 5)
    await life.world.follows.unfollow(viewer, life.world.people[FIRST], "e", 0)
    await life.world.follow_cache.forget_following(viewer)
    assert await life.read(viewer) == ids_of(await life.expected(viewer))


async def test_pages_go_on_below_the_floor() -> None:
    life, viewer = await scene(70)
    seen = await life.read(viewer)
    assert len(seen) == 70
    assert seen == ids_of(await life.expected(viewer))


async def test_a_feed_that_vanishes_between_pages_is_built_again() -> None:
    life, viewer = await scene(15)
    first = await life.reader.home(viewer, None, 10)
    await life.world.timelines.drop(viewer)
    second = await life.reader.home(viewer, first.after, 10)
    assert post_ids(first) + post_ids(second) == ids_of(await life.expected(viewer))


async def test_concurrent_readers_share_one_build() -> None:
    life, viewer = await scene(5)
    begun: list[str] = []
    begin = life.world.timelines.begin_build

    async def counted(user_id: str) -> str:
        begun.append(user_id)
        return await begin(user_id)

    life.world.timelines.begin_build = counted  # type: ignore[method-assign] # to be counted
    pages = await asyncio.gather(*(life.reader.home(viewer, None, 3) for _ in range(5)))
    assert begun == [viewer]
    assert all(page == pages[0] for page in pages)


async def test_a_slow_build_answers_what_is_there_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_BUILD_LIMIT_S", 0.05)
    life, viewer = await scene(10)
    slow = life.world.people[SECOND]
    by_user, go_on = life.world.photos.by_user, asyncio.Event()

    async def held(user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        if user_id == slow:
            await go_on.wait()
        return await by_user(user_id, before, limit)

    life.world.photos.by_user = held  # type: ignore[method-assign] # a slow partition
    page = await life.reader.home(viewer, None, 3)
    want = await life.expected(viewer)
    assert page.completeness is Completeness.REBUILDING
    assert page.after is None
    quick = [each for each in want if each.author_id != slow]
    assert post_ids(page) == ids_of(quick)[:3]
    page = await life.reader.home(viewer, place(quick[2]), 3)
    assert post_ids(page) == ids_of(quick)[3:]
    go_on.set()
    await asyncio.sleep(0.05)
    page = await life.reader.home(viewer, None, 3)
    assert page.completeness is Completeness.COMPLETE
    assert post_ids(page) == ids_of(want)[:3]


async def test_a_build_that_fails_behind_its_reader_is_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "_BUILD_LIMIT_S", 0.01)
    life, viewer = await scene(10)
    by_user = life.world.photos.by_user

    async def fail_late(*_: object) -> list[FeedEntry]:
        await asyncio.sleep(0.03)
        raise StoreAway("gone fishing")

    life.world.photos.by_user = fail_late  # type: ignore[method-assign,assignment] # away, slowly
    assert (await life.reader.home(viewer, None, 3)).completeness is Completeness.REBUILDING
    await asyncio.sleep(0.06)
    life.world.photos.by_user = by_user  # type: ignore[method-assign] # back
    page = await life.reader.home(viewer, None, 3)
    assert page.completeness is Completeness.COMPLETE
    assert post_ids(page) == ids_of(await life.expected(viewer))[:3]


@pytest.mark.parametrize("warm", [True, False])
@pytest.mark.parametrize(
    "stores", [CASSANDRA, POSTGRES, (*CASSANDRA, *POSTGRES), (*REDIS, *CASSANDRA, *POSTGRES)]
)
async def test_no_absent_store_fails_a_read(stores: tuple[str, ...], *, warm: bool) -> None:
    life, viewer = await scene(30)
    want = ids_of(await life.expected(viewer))
    if warm:
        await life.reader.home(viewer, None, 9)
        await life.world.follow_cache.forget_following(viewer)
    page = await without(life, *stores).home(viewer, None, 5)
    if warm and "timelines" not in stores:
        assert post_ids(page) == want[:5]
        whole = "follows" not in stores  # the cached follow set is gone, too
        assert (page.completeness is Completeness.COMPLETE) is whole
    else:
        assert (page.posts, page.after) == ([], None)
        assert page.completeness is Completeness.DEGRADED


@pytest.mark.parametrize(("gone", "looks", "pages", "shown"), [(4, 0, 1, 5), (14, 2, 2, 4)])
async def test_a_read_that_has_lost_a_store_goes_no_further(
    gone: int, looks: int, pages: int, shown: int
) -> None:
    life, viewer = await scene(30)
    await life.reader.home(viewer, None, 5)
    want = ids_of(await life.expected(viewer))
    await delete(life, want[:gone])
    read_page, look = life.world.timelines.page, life.world.shelf.read
    asked: list[Cursor | None] = []
    looked: list[Sequence[FeedEntry]] = []

    async def counted(user_id: str, before: Cursor | None, limit: int) -> FeedPage | None:
        asked.append(before)
        return await read_page(user_id, before, limit)

    async def lost(entries: Sequence[FeedEntry], viewer_id: str) -> Shown:
        looked.append(entries)
        if len(looked) > looks:
            raise StoreAway("gone fishing")
        return await look(entries, viewer_id)

    life.world.timelines.page = counted  # type: ignore[method-assign,assignment] # to be counted
    life.world.shelf.read = lost  # type: ignore[method-assign] # is away after so many
    page = await life.reader.home(viewer, None, 5)
    assert page.completeness is Completeness.DEGRADED
    assert post_ids(page) == want[gone : gone + shown]
    assert len(asked) == pages


async def test_a_set_that_vanishes_within_a_read_is_continued_by_the_stores() -> None:
    life, viewer = await scene(30)
    await life.reader.home(viewer, None, 5)
    want = ids_of(await life.expected(viewer))
    await delete(life, want[:16])
    read_page = life.world.timelines.page

    async def once(user_id: str, before: Cursor | None, limit: int) -> FeedPage | None:
        page = await read_page(user_id, before, limit)
        await life.world.timelines.drop(viewer)
        return page

    life.world.timelines.page = once  # type: ignore[method-assign,assignment] # then it is gone
    page = await life.reader.home(viewer, None, 5)
    assert (page.completeness, post_ids(page)) == (Completeness.COMPLETE, want[16:21])


async def test_a_mistake_of_ours_is_not_hidden_as_degraded() -> None:
    life, viewer = await scene(5)

    async def broken(*_: object) -> None:
        raise KeyError("a bug")

    life.world.photos.by_user = broken  # type: ignore[method-assign,assignment] # a bug
    with pytest.raises(KeyError):
        await life.reader.home(viewer, None, 5)


async def test_a_grid_is_everybodys_own_posts_and_nobodys_is_none() -> None:
    life, _ = await scene(12)
    stranger, author = life.world.people[STRANGER], life.world.people[FIRST]
    page = await life.reader.grid(author, stranger, None, 4)
    assert page is not None
    assert len(page.posts) == 4
    assert page.after is not None
    empty = await life.reader.grid(stranger, author, None, 4)
    assert empty is not None
    assert empty.posts == []
    assert await life.reader.grid("u_00000000zzz", author, None, 4) is None
