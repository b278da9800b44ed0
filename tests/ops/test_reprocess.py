"""Rendering again: what comes out otherwise changes, and nothing is shown without its bytes."""

import hashlib
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from domain import post_events
from domain.entities import Photo, PhotoStatus
from domain.media import picture_paths
from domain.renditions import Focus, Rejected, Rendered, Variant, object_key
from domain.settings import Settings, Uploads
from ops.reprocess import condition
from ops.rerender import Outcome, Rerender
from schemas.events import Event, PostEdited
from stores.media_sweep import sweep
from stores.memory.cassandra import MemoryMediaRefs, MemoryPhotos
from stores.memory.redis import MemoryPostCache
from stores.memory.s3 import MemoryObjects
from streams.process_photo import with_renditions
from streams.retire_posts import RetirePosts
from tests.fresh import fresh_id, now_ms
from tests.ops.cli import photofeed

ORIGINAL = b"as good as a photo"
UPLOADS = Uploads()
OLD, NEW = b"old encoder", b"new encoder"


class Scene:
    """A published post, and everything that rendering touches."""

    def __init__(self) -> None:
        self.photos, self.media_refs, self.objects = (
            MemoryPhotos(),
            MemoryMediaRefs(),
            MemoryObjects(),
        )
        self.post_cache = MemoryPostCache()
        self.edge = self.decoder = self.events = self
        self.encoder, self.error = OLD, False
        self.purged: list[str] = []
        self.refreshed: list[str] = []
        self.told: list[Event] = []
        self.rerender = Rerender(
            self.photos, self.media_refs, self.objects, self, self, self, UPLOADS, now_ms
        )

    async def begin(self) -> Photo:
        """The post as it was published."""
        photo_id, user_id = fresh_id("ph_"), fresh_id("u_")
        rendered = await self.render(ORIGINAL, "image/jpeg", None)
        row = Photo(
            photo_id=photo_id,
            user_id=user_id,
            status=PhotoStatus.PROCESSING,
            filename="a.jpg",
            content_type="image/jpeg",
            size_bytes=len(ORIGINAL),
            object_key=f"{user_id}/{photo_id}",
            caption="words",
        )
        await self.objects.put(UPLOADS.bucket, row.object_key, ORIGINAL, "image/jpeg")
        hashes = {each.content_hash for each in rendered.variants}
        await self.media_refs.hold(user_id, hashes, photo_id)
        for each in rendered.variants:
            await self.objects.put("media", object_key(user_id, each.content_hash), each.data, "j")
        await self.photos.add(row)
        post = await self.photos.publish(with_renditions(row, rendered), now_ms())
        assert post is not None
        return post

    async def render(self, source: object, declared_type: str, focus: Focus | None) -> Rendered:
        """The decoder."""
        assert (source, declared_type, focus) == (ORIGINAL, "image/jpeg", None)
        if self.error:
            raise Rejected("truncated")
        full = self.encoder + b" full"
        variants = (
            Variant("thumbnail", b"small", 150, 150),
            Variant("feed", full, 640, 480),
            Variant("full", full, 640, 480),
        )
        sha256 = hashlib.sha256(ORIGINAL).hexdigest()
        return Rendered(640, 480, variants, "p", sha256, "0f" * 32)

    async def publish(self, _topic: object, event: Event, _headers: object = None) -> None:
        """The event log, and the stage behind it."""
        self.told.append(event)

    async def purge(self, paths: Collection[str]) -> None:
        """The edge."""
        self.purged += paths

    async def refresh(self, paths: Collection[str]) -> None:
        """The edge."""
        self.refreshed += paths

    async def publish_raw(self, *_: Any) -> None:
        raise NotImplementedError

    async def ping(self) -> None:
        raise NotImplementedError

    async def retire(self) -> None:
        """What the stage does with all that was told."""
        for event in self.told:
            await RetirePosts(self, Settings())(event)  # type: ignore[arg-type] # in place of all stores

    async def row(self, post: Photo) -> Photo:
        row = await self.photos.get(post.photo_id)
        assert row is not None
        return row


@pytest.fixture
async def scene() -> Scene:
    return Scene()


async def test_the_same_bytes_change_nothing(scene: Scene) -> None:
    post = await scene.begin()
    assert await scene.rerender(post.photo_id) is Outcome.SAME
    assert await scene.row(post) == post
    assert scene.told == []


async def test_another_encoder_gives_new_urls_and_purges_only_what_is_affected(
    scene: Scene,
) -> None:
    post = await scene.begin()
    scene.encoder = NEW
    assert await scene.rerender(post.photo_id, dry_run=True) is Outcome.CHANGED
    assert (await scene.row(post), scene.told) == (post, [])
    assert await scene.rerender(post.photo_id) is Outcome.CHANGED
    row = await scene.row(post)
    assert (row.version, row.caption) == (post.version + 1, "words")
    [event] = scene.told
    assert isinstance(event, PostEdited)
    assert (event.variants, event.version) == (row.variants, row.version)
    old = {each.hash for each in post.variants}
    new = {each.hash for each in row.variants}
    assert len(old & new) == 1, "the thumbnail is as it was"
    for content_hash in new:
        assert await scene.objects.head("media", object_key(post.user_id, content_hash))
    await scene.retire()
    assert scene.purged == picture_paths(post.photo_id, old - new)
    assert await scene.media_refs.held(post.photo_id) == new
    assert await scene.rerender(post.photo_id) is Outcome.SAME
    now = now_ms()
    assert await sweep(scene.media_refs, scene.objects, UPLOADS, now) == 0, "not yet"
    later = now + UPLOADS.media_grace_s * 1000 + 1
    assert await sweep(scene.media_refs, scene.objects, UPLOADS, later) == 1
    [gone] = old - new
    assert await scene.objects.head("media", object_key(post.user_id, gone)) is None
    assert await sweep(scene.media_refs, scene.objects, UPLOADS, later) == 0


async def test_a_run_that_broke_off_before_its_event_is_finished_by_the_next(
    scene: Scene,
) -> None:
    post = await scene.begin()
    scene.encoder = NEW
    await scene.rerender(post.photo_id)
    scene.told.clear()  # as if it had died after the row
    assert await scene.rerender(post.photo_id) is Outcome.SAME
    assert len(scene.told) == 1
    await scene.retire()
    scene.told.clear()
    await scene.rerender(post.photo_id)
    assert scene.told == []


@pytest.mark.parametrize("damage", [b"rotten", None])
async def test_a_damaged_or_lost_object_is_stored_again(scene: Scene, damage: bytes | None) -> None:
    post = await scene.begin()
    content_hash = post.variants[0].hash
    key = object_key(post.user_id, content_hash)
    if damage is None:
        await scene.objects.delete("media", key)
    else:
        await scene.objects.put("media", key, damage, "image/jpeg")
    assert await scene.rerender(post.photo_id) is Outcome.REPAIRED
    assert await scene.objects.get("media", key) == b"small"
    assert scene.refreshed == picture_paths(post.photo_id, {content_hash})
    assert await scene.rerender(post.photo_id) is Outcome.SAME


async def test_what_must_not_or_cannot_be_rendered_is_said(scene: Scene) -> None:
    post = await scene.begin()
    assert await scene.rerender(fresh_id("ph_")) is Outcome.NOT_A_POST
    scene.error = True
    assert await scene.rerender(post.photo_id) is Outcome.REFUSED
    await scene.objects.put(UPLOADS.bucket, post.object_key, b"swapped in", "image/jpeg")
    assert await scene.rerender(post.photo_id) is Outcome.ORIGINAL_CHANGED
    await scene.objects.delete(UPLOADS.bucket, post.object_key)
    assert await scene.rerender(post.photo_id) is Outcome.NO_ORIGINAL
    await scene.photos.delete(post.photo_id)
    assert await scene.rerender(post.photo_id) is Outcome.NOT_A_POST
    assert scene.told == []


async def test_a_post_deleted_meanwhile_stays_deleted_and_holds_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await scene.begin()
    scene.encoder = NEW
    put = scene.objects.put

    async def put_then_deleted(*args: Any) -> None:
        await put(*args)
        await scene.photos.delete(post.photo_id)

    monkeypatch.setattr(scene.objects, "put", put_then_deleted)
    await scene.rerender(post.photo_id)
    assert (await scene.row(post)).status is PhotoStatus.DELETED
    assert scene.told == []
    held = await scene.media_refs.held(post.photo_id)
    assert held <= {each.hash for each in post.variants}, "its own stage lets go of these"


async def test_an_edits_stage_does_not_let_go_of_what_is_about_to_be_shown(scene: Scene) -> None:
    post = await scene.begin()
    edited = await scene.photos.revise(post.photo_id, lambda row: replace(row, caption="new"))
    assert edited is not None
    scene.encoder = NEW

    async def purge(_: Collection[str]) -> None:
        scene.edge = scene
        await scene.rerender(post.photo_id)  # the row is repointed in the middle of the stage

    hashes = {
        each.content_hash for each in (await scene.render(ORIGINAL, "image/jpeg", None)).variants
    }
    await scene.media_refs.hold(post.user_id, hashes, post.photo_id)
    scene.edge = type("Edge", (), {"purge": staticmethod(purge)})()

    await RetirePosts(scene, Settings())(post_events.edited(edited, now_ms()))
    row = await scene.row(post)
    assert {each.hash for each in row.variants} <= await scene.media_refs.held(post.photo_id)


def test_a_condition_is_over_the_fields_of_a_row() -> None:
    row = Photo(
        photo_id=fresh_id("ph_"),
        user_id=fresh_id("u_"),
        status=PhotoStatus.PUBLISHED,
        filename="a.HEIC",
        content_type="image/heic",
        size_bytes=7,
        object_key="k",
        tags=("sea",),
        width=4032,
    )
    for fits in (
        "width > 4000",
        "'sea' in tags and len(tags) == 1",
        "content_type == 'image/heic'",
    ):
        assert condition(fits)(row)
    for fits_not in ("width < 9", "location.lat > 3", "status == 'deleted'"):
        assert not condition(fits_not)(row)
    for wrong in ("width >", "wide > 3", "__import__('os')"):
        with pytest.raises(ValueError, match=r"."):
            condition(wrong)(row)


def test_which_photos_must_be_said() -> None:
    assert photofeed("photos", "reprocess").code == 2
    assert photofeed("photos", "reprocess", "--where", "nonsense > 3").code == 2
