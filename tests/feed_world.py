"""A world of twins in which posts are made, followed and read, and what its feeds must be."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec

from api.feed.page import Page
from api.feed.reader import FeedReader, FeedStores
from domain.entities import Cursor, FeedEntry, Photo, PhotoStatus, User
from domain.feed import place
from domain.ids import spell
from domain.ports.photos import Photos
from domain.settings import Feed
from schemas.events import FanoutChunk, FollowCreated, FollowDeleted, PostPublished, VariantRef
from stores.memory.postgres import MemoryPushLimit
from streams import publish_post
from streams.plan_fan_out import PlanFanOut
from streams.refill_feeds import RefillFeeds
from streams.write_feeds import WriteFeeds
from tests.feed_twins import FeedTwins
from tests.fresh import fresh_id

EDGE = "http://edge"
T0 = 1_800_000_000_000


class World(FeedTwins):
    """All ports that feeds touch, as twins; `people` exist, nobody follows anybody yet."""

    def __init__(self, feed: Feed, people: int) -> None:
        super().__init__(feed)
        self.feed = feed
        self.push_limit = MemoryPushLimit()
        self.people = [f"u_{spell(number)}" for number in range(people)]

    async def settle(self) -> "World":
        """With the accounts made."""
        for number, user_id in enumerate(self.people):
            user = User(user_id, f"name{number}", "", "", None, T0)
            assert await self.users.add(user, "hash")
        return self


class FeedWorld(FeedStores, Protocol):
    """Stores with feeds of some size."""

    @property
    def feed(self) -> Feed:
        """How large."""


def reader_of(world: FeedWorld) -> FeedReader:
    """A reader who keeps nothing between two reads, as if a second had passed."""
    return FeedReader(world, EDGE, world.feed.model_copy(update={"pull_heads_s": 0.0}))


def photo(author: str, number: int, at: int) -> Photo:
    """A published photo; `at` is milliseconds after T0."""
    return Photo(
        photo_id=f"ph_{spell(number)}",
        user_id=author,
        status=PhotoStatus.PUBLISHED,
        filename="a.jpg",
        content_type="image/jpeg",
        size_bytes=1,
        object_key="k",
        caption=f"number {number}",
        width=4,
        height=3,
        variants=(VariantRef("thumbnail", "ab", 1, 1, 1), VariantRef("feed", "cd", 4, 3, 9)),
        published_at=T0 + at,
        version=1,
    )


async def posted(
    photos: Photos, author: str, at: int, post_id: str | None = None, caption: str = ""
) -> Photo:
    """A post of now, its rows alone; `at` is Unix ms."""
    awaited = Photo(
        photo_id=post_id or fresh_id("ph_"),
        user_id=author,
        status=PhotoStatus.AWAITING_UPLOAD,
        filename="a.jpg",
        content_type="image/jpeg",
        size_bytes=1,
        object_key="k",
        caption=caption,
    )
    await photos.add(awaited)
    post = await photos.publish(awaited, at)
    assert post is not None
    return post


def entry_of(post: Photo) -> FeedEntry:
    assert post.published_at is not None
    return FeedEntry(post.published_at, post.photo_id, post.user_id)


def published(post: Photo) -> PostPublished:
    """The event of a published photo."""
    return publish_post.published(f"e{post.photo_id}", post)


class Life:
    """What people do, each through the code that runs it: row first, event after."""

    def __init__(self, world: World, chunk: int = 2) -> None:
        self.world = world
        self.reader = reader_of(world)
        small_chunks = world.feed.model_copy(update={"chunk_followers": chunk})
        self.plan = PlanFanOut(world, small_chunks, lambda: T0)
        self.write = WriteFeeds(world.follows, world.timelines, world.celebrities)
        self.refill = RefillFeeds(world, world.feed.cap)

    async def post(self, post: Photo) -> None:
        """The row, then its fan-out, as publish_post and the two stages do it."""
        await self.world.photos.add(post)
        event = published(post)
        emits = await self.plan(event)
        await self.plan.conclude(event, emits)
        for emit in emits:
            assert isinstance(emit.event, FanoutChunk)
            await self.write(emit.event)

    async def follow(self, follower: str, followee: str) -> None:
        """The edge, then its event."""
        edge = await self.world.follows.follow(follower, followee, "e", T0)
        await self.refill(
            FollowCreated(
                event_id="e",
                occurred_at=T0,
                version=edge.version,
                follower_id=follower,
                followee_id=followee,
            )
        )

    async def unfollow(self, follower: str, followee: str) -> None:
        """The tombstone, then its event."""
        edge = await self.world.follows.unfollow(follower, followee, "e", T0)
        await self.refill(
            FollowDeleted(
                event_id="e",
                occurred_at=T0,
                version=edge.version,
                follower_id=follower,
                followee_id=followee,
            )
        )

    async def read(self, viewer: str, limit: int = 7) -> list[str]:
        """The ids on all pages, one after the other."""
        return await walk(lambda before: self.reader.home(viewer, before, limit), limit)

    async def expected(self, viewer: str) -> list[FeedEntry]:
        """The feed as the pure function that it is: live posts of those followed now."""
        followees = set(await self.world.follows.following(viewer))
        posts = self.world.photos.rows.values()
        live = (post for post in posts if post.status is PhotoStatus.PUBLISHED)
        return sorted((entry_of(post) for post in live if post.user_id in followees), reverse=True)


async def walk(read: Callable[[Cursor | None], Awaitable[Page]], limit: int) -> list[str]:
    """The ids on all pages; a page that isn't the last is full."""
    before: Cursor | None = None
    seen: list[str] = []
    while True:
        page = await read(before)
        seen += post_ids(page)
        if page.after is None:
            return seen
        assert len(page.posts) == limit
        before = page.after


def post_ids(page: Page) -> list[str]:
    return [msgspec.json.decode(post)["post_id"] for post in page.posts]


def ids_of(entries: Iterable[FeedEntry]) -> list[str]:
    return [entry.post_id for entry in entries]


def above(entries: Iterable[FeedEntry], floor: Cursor | None) -> list[FeedEntry]:
    return [entry for entry in entries if floor is None or place(entry) > floor]
