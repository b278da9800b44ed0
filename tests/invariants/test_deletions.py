"""I3: whatever order stores see the steps in, a deleted post is gone and stays gone.

Every store call of every actor is a step; chance chooses the order. Then all topics are replayed
whole, and nothing has come back: not in feed, grid, count, search, cache or at the edge. A twin
post over the same bytes loses nothing.
"""

import random
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from domain import post_events
from domain.entities import Photo, PhotoStatus
from domain.errors import Transient
from domain.media import picture_paths
from domain.photo_states import DELETED_VERSION
from domain.renditions import object_key
from domain.settings import Feed, Settings
from schemas.events import FanoutChunk, PhotoProcessed, PostDeleted, PostEdited, PostPublished
from stores.memory.cassandra import MemoryMediaRefs
from stores.memory.s3 import MemoryObjects
from stores.memory.search import MemorySearchIndex
from streams.index_search import IndexSearch
from streams.publish_post import PublishPost
from streams.retire_posts import RetirePosts
from tests.feed_world import T0, Life, World, photo, walk
from tests.interleaving import Interleaving

FEED = Feed(cap=20, trim_slack=3)
SETTINGS = Settings()
VIEWER, AUTHOR = range(2)
STEPPED = ("photos", "timelines", "post_cache", "media_refs", "objects", "search", "follow_cache")
TRIES = 3


class CachingEdge:
    """Keeps what the shield says, as the edge does: a miss asks twice, before and after bytes."""

    def __init__(self, world: "Scene") -> None:
        self._world = world
        self.cached: dict[str, int] = {}

    async def read(self, path: str) -> int:
        """A reader's answer."""
        if path not in self.cached:
            status = await self._shield(path)
            if status == 200:
                status = await self._shield(path)
            self.cached[path] = status
        return self.cached[path]

    async def refresh(self, paths: Collection[str]) -> None:
        """The internal listener."""
        for path in paths:
            self.cached[path] = await self._shield(path)

    async def purge(self, paths: Collection[str]) -> None:
        """Refresh and look. Raises Transient for what is shown again meanwhile."""
        await self.refresh(paths)
        if 200 in [await self.read(path) for path in paths]:
            raise Transient("still served")

    async def _shield(self, path: str) -> int:
        _, _, photo_id, content_hash, name = path.split("/")
        post = await self._world.photos.get(photo_id)
        if post is None:
            return 404
        if post.status is PhotoStatus.DELETED:
            return 410
        shown = [(f"{each.name}.jpg", each.hash) for each in post.variants]
        return 200 if (name, content_hash) in shown else 404


class Scene(World):
    """An author's two posts of the same bytes, published, in the feed of one viewer."""

    def __init__(self) -> None:
        super().__init__(FEED, 2)
        self.media_refs = MemoryMediaRefs()
        self.objects = MemoryObjects()
        self.search = MemorySearchIndex()
        self.edge = CachingEdge(self)
        self.posts = [
            replace(
                photo(self.people[AUTHOR], number, number), tags=("hills",), object_key=f"k{number}"
            )
            for number in range(2)
        ]

    async def begin(self) -> "Life":
        """Everything published and delivered."""
        await self.settle()
        life = Life(self)
        await life.follow(self.people[VIEWER], self.people[AUTHOR])
        await life.read(self.people[VIEWER])
        for post in self.posts:
            hashes = {each.hash for each in post.variants}
            await self.media_refs.hold(post.user_id, hashes, post.photo_id)
            for each in hashes:
                key = object_key(post.user_id, each)
                await self.objects.put("media", key, b"bytes", "image/jpeg")
            row = replace(post, status=PhotoStatus.PROCESSING, published_at=None, version=1)
            await self.photos.add(row)
            await self.handle(processed(post))
        return life

    async def handle(self, event: object) -> None:
        """What all stages do with an event."""
        match event:
            case PhotoProcessed():
                for emit in await PublishPost(self.photos, lambda: T0 + 9)(event):
                    await self.handle(emit.event)
            case PostPublished():
                for emit in await Life(self).plan(event):
                    await self.handle(emit.event)
                await IndexSearch(self.search)(event)
            case FanoutChunk():
                await Life(self).write(event)
            case PostEdited() | PostDeleted():
                await IndexSearch(self.search)(event)
                await self._retire(event)
            case _:
                raise AssertionError(event)

    async def _retire(self, event: PostEdited | PostDeleted) -> None:
        """As a worker does: what is Transient is tried again."""
        for _ in range(TRIES):
            with suppress(Transient):
                await RetirePosts(self, SETTINGS, lambda: T0)(event)
                return
        raise AssertionError(f"given up after {TRIES} tries: {event}")


def processed(post: Photo) -> PhotoProcessed:
    return PhotoProcessed(
        event_id="e",
        occurred_at=T0,
        version=1,
        photo_id=post.photo_id,
        user_id=post.user_id,
        caption=post.caption,
        tags=post.tags,
        alt_text="",
        sha256="ab" * 32,
        width=4,
        height=3,
        placeholder="",
        variants=post.variants,
    )


async def delete(scene: Scene, post: Photo, log: list[object]) -> None:
    """As the API does it: the event, the hint, then the stages."""
    log.append(event := post_events.deleted(post, T0))
    await scene.photos.delete(post.photo_id)
    await scene.post_cache.replace({post.photo_id: b""})
    await scene.handle(event)


async def edit(scene: Scene, post: Photo, tag: str, log: list[object]) -> None:
    """A reprocess and an edit at once: new words, new pictures."""
    new = tuple(replace(each, hash=f"{tag}{each.hash}") for each in post.variants)
    await scene.media_refs.hold(post.user_id, {each.hash for each in new}, post.photo_id)
    row = await scene.photos.revise(
        post.photo_id, lambda stored: replace(stored, tags=(tag,), variants=new)
    )
    if row is not None:
        log.append(event := post_events.edited(row, T0))
        await scene.handle(event)


async def look(scene: Scene, life: Life, post: Photo) -> None:
    """Readers, who fill caches."""
    await life.read(scene.people[VIEWER])
    for path in picture_paths(post.photo_id, {each.hash for each in post.variants}):
        await scene.edge.read(path)


async def shown(scene: Scene, life: Life) -> tuple[list[str], list[str], list[str]]:
    """Post ids in feed, grid and search."""
    feed = await life.read(scene.people[VIEWER])
    author, viewer = scene.people[AUTHOR], scene.people[VIEWER]

    async def grid_page(before: object) -> object:
        return await life.reader.grid(author, viewer, before, 7)  # type: ignore[arg-type] # a cursor of its own

    grid = await walk(grid_page, 7)  # type: ignore[arg-type] # walks any kind of page
    found = [
        e.post_id for tag in ("hills", "x", "y") for e in await scene.search.by_tag(tag, None, 9)
    ]
    return feed, grid, found


async def settled(scene: Scene, life: Life, events: Sequence[object]) -> None:
    """Nothing of the deleted post is left, whatever is replayed; its twin is whole."""
    gone, twin = scene.posts
    for again in [(), events, reversed(list(events))]:
        for event in again:
            await scene.handle(event)
        assert await shown(scene, life) == ([twin.photo_id],) * 3
        assert await scene.photos.count_by_user(gone.user_id) == 1
        row = await scene.photos.get(gone.photo_id)
        assert row is not None
        assert (row.status, row.version, row.caption) == (PhotoStatus.DELETED, DELETED_VERSION, "")
        [ready] = await scene.post_cache.get([gone.photo_id])
        assert not ready
        for path, status in scene.edge.cached.items():
            assert (status == 410) == (gone.photo_id in path and status != 404), (path, status)
        assert 200 not in {s for path, s in scene.edge.cached.items() if gone.photo_id in path}
        assert await scene.objects.head("uploads", gone.object_key) is None
        hashes = {each.hash for each in twin.variants}
        assert await scene.media_refs.held(twin.photo_id) == hashes
        for content_hash in hashes:
            assert scene.media_refs.holders[twin.user_id, content_hash] == {twin.photo_id}


@given(st.integers(0, 1 << 32).map(random.Random))
@settings(max_examples=150, deadline=None)
async def test_whatever_is_late_retried_or_replayed_a_deleted_post_stays_gone(
    seed: random.Random,
) -> None:
    scene = Scene()
    await scene.begin()
    order = Interleaving(seed)
    refs = scene.media_refs
    for name in STEPPED:
        setattr(scene, name, order.stepped(getattr(scene, name)))
    life = Life(scene)
    post = scene.posts[0]
    log: list[object] = [processed(each) for each in scene.posts]
    actors = [
        delete(scene, post, log),
        edit(scene, post, "x", log),
        edit(scene, post, "y", log),
        scene.handle(processed(post)),
        look(scene, life, post),
        look(scene, life, scene.posts[1]),
    ]
    seed.shuffle(actors)
    await order.run(*actors)
    scene.media_refs = refs
    await settled(scene, life, log)


async def test_a_removed_object_is_nobodys_and_a_twins_bytes_stay() -> None:
    scene = Scene()
    await scene.begin()
    gone, twin = scene.posts
    await delete(scene, gone, [])
    assert await scene.media_refs.unheld(T0 + 1, 10) == []
    await delete(scene, twin, [])
    unheld = await scene.media_refs.unheld(T0 + 1, 10)
    assert {each.hash for each in unheld} == {each.hash for each in twin.variants}
