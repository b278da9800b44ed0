"""Orphans on the real stack: what a killed API or client leaves is finished or swept."""

import io
import secrets
from collections.abc import AsyncIterator

import httpx
import pytest
from PIL import Image

from domain import uploads
from domain.entities import Photo, PhotoStatus
from domain.settings import Settings
from domain.uploads import OpenUpload
from ops.demo.client import Client
from stores.connect import Stores
from streams.reconcile import Reconciler
from tests.fresh import fresh_id, now_ms

LIMIT_S = 120.0


def picture(width: int, height: int) -> bytes:
    """Noise as a PNG: as large as its pixels."""
    out = io.BytesIO()
    noise = secrets.token_bytes(3 * width * height)
    Image.frombytes("RGB", (width, height), noise).save(out, "PNG", compress_level=0)
    return out.getvalue()


@pytest.fixture
async def person(settings: Settings) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(base_url=settings.url("api"), timeout=20.0) as http:
        client = Client(http, "o" + secrets.token_hex(6), secrets.token_urlsafe(12))
        await client.register("Olu")
        yield client


@pytest.fixture
def reconciler(settings: Settings, stores: Stores) -> Reconciler:
    return Reconciler(
        stores.photos,
        stores.open_uploads,
        stores.objects,
        stores.multiparts,
        stores.events,
        settings.uploads.model_copy(update={"stuck_after_s": 0.0}),
    )


async def orphan(stores: Stores, settings: Settings, owner: str, data: bytes, ttl: int) -> Photo:
    """An upload that was announced and PUT, as the stores know it."""
    photo_id = fresh_id("ph_")
    photo = Photo(
        photo_id=photo_id,
        user_id=owner,
        status=PhotoStatus.AWAITING_UPLOAD,
        filename="a.png",
        content_type="image/png",
        size_bytes=len(data),
        object_key=f"{owner}/{photo_id}",
        expires_at=now_ms() + ttl,
    )
    await stores.open_uploads.add(OpenUpload(photo_id))
    await stores.photos.add(photo)
    await stores.objects.put(settings.uploads.bucket, photo.object_key, data, "image/png")
    return photo


async def test_a_large_photo_goes_in_parts_and_is_published(person: Client) -> None:
    data = picture(1500, 1300)
    assert len(data) > 5 * 1024 * 1024
    words = {"filename": "a.png", "content_type": "image/png", "size_bytes": len(data)}
    done = await person.upload(words, data)
    assert (await person.wait_published(done.photo_id, LIMIT_S))["status"] == "published"


async def test_a_completed_upload_whose_event_was_never_made_is_published(
    person: Client, reconciler: Reconciler, stores: Stores, settings: Settings
) -> None:
    photo = await orphan(stores, settings, person.user_id, picture(300, 200), 900_000)
    await stores.photos.mark_processing(photo)
    await reconciler.round()
    assert (await person.wait_published(photo.photo_id, LIMIT_S))["status"] == "published"
    await reconciler.round()
    minute = now_ms() // 60_000
    found = await stores.open_uploads.of_minutes(list(range(minute - 5, minute + 1)))
    assert photo.photo_id not in {each.photo_id for row in found.values() for each in row}


async def test_an_upload_that_was_never_completed_is_swept_and_its_owner_sees_why(
    person: Client, reconciler: Reconciler, stores: Stores, settings: Settings
) -> None:
    photo = await orphan(stores, settings, person.user_id, picture(30, 20), -120_000)
    later = await orphan(stores, settings, person.user_id, picture(30, 20), 900_000)
    await reconciler.round()
    status = await person.get(f"/photos/{photo.photo_id}/status")
    assert (status["status"], status["reason"]) == ("rejected", uploads.EXPIRED)
    bucket = settings.uploads.bucket
    assert await stores.objects.head(bucket, photo.object_key) is None
    assert await stores.objects.head(bucket, later.object_key) is not None
    assert (await person.get(f"/photos/{later.photo_id}/status"))["status"] == "awaiting_upload"
