"""People, follows and posts by the thousand, written straight into the durable stores.

The rows are those that the API and the stages would have made; only the way there is shorter.
Redis is left alone: the feeds that are read are built by the code that is measured.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from typing import cast

from bench.tools.stack import stores
from domain.entities import Counts, FeedEntry, Photo, PhotoStatus
from domain.ids import compose, derived, spell
from schemas.events import VariantRef
from stores.connect import Stores
from streams.publish_post import published
from topics.catalog import POST_PUBLISHED

_AT_ONCE = 64
_USERS = """INSERT INTO users (user_id, username, password_hash, display_name, bio, created_at)
SELECT id, 'b' || md5(id), '', 'Bench', '', %s FROM unnest(%s::text[]) AS id"""
_FOLLOWS = """INSERT INTO follows (follower_id, followee_id, version, following, changed_at)
SELECT a, b, nextval('edge_version'), true, %s FROM unnest(%s::text[], %s::text[]) AS pair (a, b)"""
_PHOTO = """INSERT INTO photos (photo_id, user_id, status, filename, content_type, size_bytes,
object_key, caption, tags, alt_text, width, height, placeholder, variants, published_at, bucket,
version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_BY_USER = """INSERT INTO posts_by_user (user_id, bucket, published_at, post_id, version, deleted)
VALUES (?, 0, ?, ?, 1, false) USING TIMESTAMP 1"""
_CAPTION = "Morning light on the harbour wall, before the boats went out and the wind came up"
_MACHINE = 1023
_VARIANTS = (
    VariantRef("thumbnail", "0123456789abcdef0123456789abcdef", 150, 150, 6_000),
    VariantRef("feed", "123456789abcdef0123456789abcdef0", 640, 480, 40_000),
    VariantRef("full", "23456789abcdef0123456789abcdef01", 1080, 810, 100_000),
)


class World:
    """Makes rows; ids are new in every run, so that a stack may be used again."""

    def __init__(self, open_stores: Stores) -> None:
        self.stores = open_stores
        self.now = time.time_ns() // 1_000_000
        self._made = 0

    @classmethod
    def of_stack(cls) -> "World":
        """Over the benchmarks' own stack."""
        return cls(stores())

    def new_id(self, at_ms: int | None = None) -> str:
        """The letters and digits of an id that nobody has."""
        self._made += 1
        earlier, sequence = divmod(self._made, 4096)
        at = self.now - 10_000_000 + earlier if at_ms is None else at_ms
        return spell(compose(at, _MACHINE, sequence))

    async def people(self, count: int) -> list[str]:
        """New accounts."""
        names = [f"u_{self.new_id()}" for _ in range(count)]
        await self.stores.postgres.run(_USERS, (self.now, names))
        return names

    async def follow(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Edges without their events: no feed that they would change exists yet."""
        followers, followees = zip(*pairs, strict=True)
        await self.stores.postgres.run(_FOLLOWS, (self.now, list(followers), list(followees)))

    async def build(self, feeds: Mapping[str, Sequence[FeedEntry]]) -> None:
        """Built feeds with these entries, by reader."""
        gate, timelines = asyncio.Semaphore(_AT_ONCE), self.stores.timelines

        async def one(reader: str, entries: Sequence[FeedEntry]) -> None:
            async with gate:
                await timelines.finish_build(reader, await timelines.begin_build(reader), entries)

        await asyncio.gather(*(one(reader, entries) for reader, entries in feeds.items()))

    async def post(self, counts: Mapping[str, int], likes: int = 12) -> list[Photo]:
        """So many posts of each author, mixed in time, the newest a minute ago; oldest first.

        Every post has durable counts, and they say so: without likers the likes are only counted.
        """
        turns = [(n / count, author) for author, count in counts.items() for n in range(count)]
        made = []
        for number, (_, author) in enumerate(sorted(turns, reverse=True), 1):
            at = self.now - 60_000 - number * 1000
            made.append(_photo(f"ph_{self.new_id(at)}", author, at))
        session = self.stores.cassandra
        await session.execute_many(_PHOTO, [_row(photo) for photo in made])
        await session.execute_many(
            _BY_USER, [(photo.user_id, photo.published_at, photo.photo_id) for photo in made]
        )
        for photo in made[:likes]:
            await self.stores.reactions.put_counts(photo.photo_id, Counts(0, 3))
        return made[::-1]

    async def publish(self, author: str) -> Photo:
        """One post of now: its rows, then its event."""
        now = time.time_ns() // 1_000_000
        awaited = replace(
            _photo(f"ph_{self.new_id(now)}", author, now),
            status=PhotoStatus.AWAITING_UPLOAD,
            published_at=None,
        )
        await self.stores.photos.add(awaited)
        post = await self.stores.photos.publish(awaited, now)
        if post is None:
            raise RuntimeError(f"{awaited.photo_id} is somebody else's")
        told = published(derived(post.photo_id, "published"), post)
        await self.stores.events.publish(POST_PUBLISHED, told)
        return post

    async def like(self, posts: Sequence[Photo], fans: Sequence[str]) -> None:
        """Every fan likes every post, and the counts say so."""
        for post in posts:
            for version, fan in enumerate(fans, 1):
                await self.stores.reactions.set_like(post.photo_id, fan, version, liked=True)
            await self.stores.reactions.put_counts(post.photo_id, Counts(len(fans), 3))

    async def pull(self, posts: Sequence[Photo]) -> None:
        """The authors of these posts are pulled from now on, and nobody is left to be told."""
        celebrities = self.stores.celebrities
        for post in posts:
            await celebrities.flag(post.user_id, 10_001, self.now)
            await celebrities.start_pulling(post.user_id, post.photo_id)
            await celebrities.pulling_told(post.user_id, post.photo_id)


def _photo(photo_id: str, author: str, at: int) -> Photo:
    return Photo(
        photo_id=photo_id,
        user_id=author,
        status=PhotoStatus.PUBLISHED,
        filename="a.jpg",
        content_type="image/jpeg",
        size_bytes=1_000_000,
        object_key="k",
        caption=_CAPTION,
        tags=("harbour", "morning"),
        alt_text="A harbour wall in low sun",
        width=4000,
        height=3000,
        placeholder="1QcSHQRnh493V4dIh4eXh1h4kJUI",
        variants=_VARIANTS,
        published_at=at,
        version=1,
    )


def _row(photo: Photo) -> tuple[object, ...]:
    return (
        photo.photo_id,
        photo.user_id,
        photo.status,
        photo.filename,
        photo.content_type,
        photo.size_bytes,
        photo.object_key,
        photo.caption,
        list(photo.tags),
        photo.alt_text,
        photo.width,
        photo.height,
        photo.placeholder,
        [cast("tuple[object, ...]", astuple(variant)) for variant in photo.variants],
        photo.published_at,
        0,
        photo.version,
    )
