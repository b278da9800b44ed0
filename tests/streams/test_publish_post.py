"""photo.processed → post.published, on the twins."""

from dataclasses import replace

import pytest

from domain.entities import Photo, PhotoStatus
from domain.errors import Unrecoverable
from schemas.events import PhotoProcessed, PostPublished, VariantRef
from stores.memory.cassandra import MemoryPhotos
from streams.publish_post import PublishPost
from tests.fresh import fresh_id, now_ms

ROW = Photo(
    photo_id=fresh_id("ph_"),
    user_id=fresh_id("u_"),
    status=PhotoStatus.PROCESSING,
    filename="a.jpg",
    content_type="image/jpeg",
    size_bytes=1,
    object_key="u/a",
)
EVENT = PhotoProcessed(
    event_id=fresh_id(),
    occurred_at=now_ms(),
    version=1,
    photo_id=ROW.photo_id,
    user_id=ROW.user_id,
    caption="a hill",
    tags=("hills",),
    alt_text="a green hill",
    sha256="ab" * 32,
    width=4000,
    height=3000,
    placeholder="p",
    variants=(VariantRef("feed", "cd" * 16, 640, 480, 9),),
)


async def published(photos: MemoryPhotos, at: int) -> PostPublished:
    [emit] = await PublishPost(photos, lambda: at)(EVENT)
    assert isinstance(emit.event, PostPublished)
    return emit.event


async def test_the_row_is_visible_when_the_event_exists() -> None:
    photos = MemoryPhotos()
    await photos.add(ROW)
    told = await published(photos, 1000)
    row = await photos.get(ROW.photo_id)
    assert row is not None
    assert (row.status, row.published_at, row.version) == (
        PhotoStatus.PUBLISHED,
        told.published_at,
        told.version,
    )
    assert (told.post_id, told.caption, told.variants) == (ROW.photo_id, "a hill", EVENT.variants)


async def test_published_twice_is_published_once_at_the_first_time() -> None:
    photos = MemoryPhotos()
    await photos.add(ROW)
    assert await published(photos, 1000) == await published(photos, 2000)
    assert len(await photos.by_user(ROW.user_id, None, 10)) == 1


async def test_a_rejected_photo_is_not_published() -> None:
    photos = MemoryPhotos()
    await photos.add(ROW)
    await photos.reject(ROW.photo_id, "blocked")
    assert list(await PublishPost(photos)(EVENT)) == []


async def test_a_photo_nobody_knows_is_a_dead_letter() -> None:
    with pytest.raises(Unrecoverable):
        await PublishPost(MemoryPhotos())(replace(EVENT, photo_id=fresh_id("ph_")))
