"""Uploads: announce, PUT, complete, ask."""

import asyncio
import hashlib
import json
import math
import secrets
from typing import Any

import httpx
import pytest

from domain import ids
from domain.entities import Photo, PhotoStatus
from domain.secrets import Secrets
from domain.settings import Settings
from stores import kafka_admin, kafka_reader
from stores.connect import Stores
from tests.api.world import Someone, World, is_problem
from tests.fresh import now_ms
from topics.catalog import UPLOAD_COMPLETED
from topics.record import Record

BYTES = b"\xff\xd8\xff\xe0 not really a photograph"
ANNOUNCED: dict[str, Any] = {
    "filename": "IMG_2047.JPG",
    "content_type": "image/jpeg",
    "size_bytes": len(BYTES),
}


async def announced(world: World, who: Someone, **more: Any) -> dict[str, Any]:
    answer = await world.call("POST", "/photos", who, json=ANNOUNCED | more)
    assert answer.status_code == 200, answer.text
    grant: dict[str, Any] = answer.json()
    return grant


async def put(
    grant: dict[str, Any], data: bytes = BYTES, headers: dict[str, str] | None = None
) -> httpx.Response:
    async with httpx.AsyncClient() as http:
        return await http.put(
            grant["upload_url"], content=data, headers=grant["upload_headers"] | (headers or {})
        )


async def row(world: World, photo_id: str) -> Photo:
    photo = await world.stores.photos.get(photo_id)
    assert photo is not None
    return photo


async def test_an_announced_upload_is_kept_as_it_was_said(world: World) -> None:
    ann = await world.someone()
    grant = await announced(
        world,
        ann,
        content_type=" IMAGE/JPEG ",
        caption="Sunset at Big Sur 🌅",
        tags=["#Sunset", "sunset", "STRASSE", "#ﬁn"],
        location={"lat": 36.27, "lon": -121.81},
        alt_text="the sun",
        focus={"x": 0, "y": 1},
        sha256=hashlib.sha256(BYTES).hexdigest().upper(),
    )
    assert grant["upload_method"] == "PUT"
    assert grant["upload_headers"]["Content-Type"] == "image/jpeg"
    assert grant["upload_headers"]["Content-Length"] == str(len(BYTES))
    assert grant["expires_at"].endswith("Z")
    photo = await row(world, grant["photo_id"])
    assert photo.status is PhotoStatus.AWAITING_UPLOAD
    assert photo.user_id == ann.user_id
    assert photo.caption == "Sunset at Big Sur 🌅"
    assert photo.tags == ("sunset", "strasse", "fin")
    assert (photo.location and photo.location.lat, photo.alt_text) == (36.27, "the sun")
    assert (photo.focus and photo.focus.y) == 1
    assert photo.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert math.isclose(photo.expires_at, now_ms() + 900_000, abs_tol=30_000)


@pytest.mark.parametrize(
    ("change", "status", "slug"),
    [
        ({"content_type": "image/gif"}, 415, "unsupported-type"),
        ({"content_type": "text/html"}, 415, "unsupported-type"),
        ({"size_bytes": 50_000_001}, 413, "too-large"),
        ({"size_bytes": 0}, 422, "validation"),
        ({"size_bytes": -1}, 422, "validation"),
        ({"size_bytes": "3"}, 422, "validation"),
        ({"size_bytes": True}, 422, "validation"),
        ({"size_bytes": 1.5}, 422, "validation"),
        ({"filename": ""}, 422, "validation"),
        ({"filename": "a\0b"}, 422, "validation"),
        ({"caption": "x" * 2201}, 422, "validation"),
        ({"caption": "\ud800"}, 422, "validation"),
        ({"tags": ["a b"]}, 422, "validation"),
        ({"tags": ["#"]}, 422, "validation"),
        ({"tags": ["x" * 101]}, 422, "validation"),
        ({"tags": [f"t{n}" for n in range(31)]}, 422, "validation"),
        ({"tags": "sun"}, 422, "validation"),
        ({"location": {"lat": 90.1, "lon": 0}}, 422, "validation"),
        ({"location": {"lat": 0, "lon": -180.1}}, 422, "validation"),
        ({"location": {"lat": math.nan, "lon": 0}}, 422, "validation"),
        ({"location": {"lat": 0}}, 422, "validation"),
        ({"focus": {"x": 1.01, "y": 0}}, 422, "validation"),
        ({"sha256": "00"}, 422, "validation"),
        ({"sha256": "g" * 64}, 422, "validation"),
    ],
    ids=str,
)
async def test_what_cannot_be_a_photo_is_refused(
    world: World, change: dict[str, Any], status: int, slug: str
) -> None:
    ann = await world.someone()
    answer = await world.call(
        "POST",
        "/photos",
        ann,
        content=json.dumps(ANNOUNCED | change),
        headers={"Content-Type": "application/json"},
    )
    is_problem(answer, status, slug)
    if slug == "validation":
        assert answer.json()["errors"][0]["field"].startswith(next(iter(change)))


@pytest.mark.parametrize("size", [1, 5 * 1024 * 1024])
async def test_any_size_up_to_a_part_is_one_put(world: World, size: int) -> None:
    ann = await world.someone()
    grant = await announced(world, ann, size_bytes=size)
    assert grant["upload_headers"]["Content-Length"] == str(size)


async def test_captions_are_counted_as_people_count_characters(world: World) -> None:
    ann = await world.someone()
    family = "\N{MAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
    grant = await announced(world, ann, caption=family * 2200)
    assert (await row(world, grant["photo_id"])).caption == family * 2200
    for caption in (family * 2201, "e" + "\N{COMBINING ACUTE ACCENT}" * 22_000):
        body = ANNOUNCED | {"caption": caption}
        is_problem(await world.call("POST", "/photos", ann, json=body), 422, "validation")


async def test_who_has_the_photo_already_is_told_and_nobody_else(world: World) -> None:
    ann, ben = await world.someone(), await world.someone()
    digest = hashlib.sha256(secrets.token_bytes(9)).hexdigest()
    assert (await announced(world, ann, sha256=digest))["duplicate_of"] is None
    post = await world.post(ann, sha256=digest)
    assert (await announced(world, ann, sha256=digest))["duplicate_of"] == post.photo_id
    assert (await announced(world, ben, sha256=digest))["duplicate_of"] is None
    assert (await announced(world, ann))["duplicate_of"] is None


async def test_the_store_takes_only_what_was_announced_and_only_once(world: World) -> None:
    ann = await world.someone()
    grant = await announced(world, ann)
    assert (await put(grant, headers={"Content-Type": "image/png"})).status_code == 403
    other = {**grant, "upload_headers": {**grant["upload_headers"], "Content-Length": "1"}}
    assert (await put(other, b"x")).status_code == 403
    assert (await put(grant)).status_code == 200
    assert (await put(grant)).status_code == 412


async def test_complete_before_the_upload_is_a_conflict(world: World) -> None:
    ann = await world.someone()
    grant = await announced(world, ann)
    path = f"/photos/{grant['photo_id']}/complete"
    is_problem(await world.call("POST", path, ann), 409, "upload-mismatch")
    assert (await row(world, grant["photo_id"])).status is PhotoStatus.AWAITING_UPLOAD


@pytest.mark.parametrize("wrong", [{"size_bytes": 4}, {"content_type": "image/png"}], ids=str)
async def test_another_object_than_announced_is_a_conflict(
    world: World, settings: Settings, wrong: dict[str, Any]
) -> None:
    ann = await world.someone()
    photo = await world.awaited(ann, **wrong)
    bucket = settings.uploads.bucket
    await world.stores.objects.put(bucket, photo.object_key, b"abc", "image/jpeg")
    answer = await world.call("POST", f"/photos/{photo.photo_id}/complete", ann)
    is_problem(answer, 409, "upload-mismatch")
    assert (await row(world, photo.photo_id)).status is PhotoStatus.AWAITING_UPLOAD


def events_of(settings: Settings, photo_id: str) -> list[Record]:
    """Every upload.completed of a photo."""
    bootstrap = settings.address("kafka")
    key, topic = photo_id.encode(), UPLOAD_COMPLETED
    place = (topic.name, kafka_reader.partition_of(key, topic.partitions))
    admin = kafka_admin.KafkaAdmin(bootstrap)
    ranges = {place: (admin.starts([place])[place], admin.ends([place])[place])}
    return [record for record in kafka_reader.read(bootstrap, ranges) if record.key == key]


async def test_complete_is_committed_by_the_log_and_twice_is_once(
    world: World, settings: Settings
) -> None:
    ann = await world.someone()
    grant = await announced(world, ann, caption="before", tags=["a"])
    photo_id = grant["photo_id"]
    await put(grant)
    path = f"/photos/{photo_id}/complete"
    trace = {"traceparent": f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"}
    words = {"caption": "after", "alt_text": "words that came later"}
    first = await world.call("POST", path, ann, json=words, headers=trace)
    assert first.status_code == 202
    assert first.json() == {
        "photo_id": photo_id,
        "status": "processing",
        "estimated_ready_ms": 4000,
        "poll_url": f"/photos/{photo_id}/status",
    }
    again = await world.call("POST", path, ann, json={"caption": "too late"})
    assert (again.status_code, again.content) == (202, first.content)
    records = await asyncio.to_thread(events_of, settings, photo_id)
    events = [UPLOAD_COMPLETED.codec.decode(record.value) for record in records]
    assert {event.event_id for event in events} == {f"{photo_id[3:]}.completed"}
    assert {(event.caption, event.tags) for event in events} == {("after", ("a",))}
    assert events[0].alt_text == "words that came later"
    assert events[0].etag
    [name, value] = records[0].headers[0]
    assert name == "traceparent"
    assert value.decode().split("-")[1] == trace["traceparent"].split("-")[1]


async def test_nothing_is_acknowledged_while_the_log_is_away(
    world: World, settings: Settings, secrets: Secrets
) -> None:
    ann = await world.someone()
    grant = await announced(world, ann)
    await put(grant)
    path = f"/photos/{grant['photo_id']}/complete"
    closed = settings.model_copy(update={"ports": settings.ports.model_copy(update={"kafka": 9})})
    away, whole = Stores(closed, secrets), world.stores.events
    world.stores.__dict__["events"] = away.events
    try:
        is_problem(await world.call("POST", path, ann), 503, "unavailable")
    finally:
        world.stores.__dict__["events"] = whole
        await away.close()
    assert (await world.call("POST", path, ann)).status_code == 202
    records = await asyncio.to_thread(events_of, settings, grant["photo_id"])
    assert len(records) == 1


@pytest.mark.parametrize("final", ["published", "rejected"])
async def test_complete_after_the_end_is_the_same_answer(world: World, final: str) -> None:
    ann = await world.someone()
    photo = await (world.post(ann) if final == "published" else world.awaited(ann))
    if final == "rejected":
        await world.stores.photos.reject(photo.photo_id, "not_an_image")
    answer = await world.call("POST", f"/photos/{photo.photo_id}/complete", ann)
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    assert (await row(world, photo.photo_id)).status == final


async def test_status_backs_off_while_undecided(world: World) -> None:
    ann = await world.someone()
    photo = await world.awaited(ann)
    path = f"/photos/{photo.photo_id}/status"
    answers = [await world.call("GET", path, ann) for _ in range(5)]
    assert [answer.headers["retry-after"] for answer in answers] == ["1", "2", "4", "8", "8"]
    assert answers[0].json() == {
        "photo_id": photo.photo_id,
        "status": "awaiting_upload",
        "urls": None,
        "published_at": None,
        "reason": None,
    }


async def test_status_of_the_decided(world: World, settings: Settings) -> None:
    ann = await world.someone()
    post, rejected = await world.post(ann), await world.awaited(ann)
    await world.stores.photos.reject(rejected.photo_id, "not_an_image")
    answer = await world.call("GET", f"/photos/{post.photo_id}/status", ann)
    assert "retry-after" not in answer.headers
    assert answer.json()["status"] == "published"
    assert answer.json()["published_at"].endswith("Z")
    urls = answer.json()["urls"]
    assert set(urls) == {"thumbnail", "feed", "full"}
    assert all(url.startswith(settings.url("edge")) for url in urls.values())
    answer = await world.call("GET", f"/photos/{rejected.photo_id}/status", ann)
    assert (answer.json()["status"], answer.json()["reason"]) == ("rejected", "not_an_image")


async def test_a_long_poll_ends_when_it_is_decided(world: World) -> None:
    ann = await world.someone()
    photo = await world.awaited(ann)
    loop = asyncio.get_running_loop()
    started = loop.time()
    waiting = asyncio.create_task(world.call("GET", f"/photos/{photo.photo_id}/status?wait=8", ann))
    await asyncio.sleep(0.5)
    await world.stores.photos.reject(photo.photo_id, "truncated")
    assert (await waiting).json()["status"] == "rejected"
    assert loop.time() - started < 4


async def test_a_long_poll_ends_when_its_time_is_up(world: World) -> None:
    ann = await world.someone()
    photo = await world.awaited(ann)
    answer = await world.call("GET", f"/photos/{photo.photo_id}/status?wait=1", ann)
    assert (answer.status_code, answer.json()["status"]) == (200, "awaiting_upload")
    for wait in ("9", "-1", "x"):
        refused = await world.call("GET", f"/photos/{photo.photo_id}/status?wait={wait}", ann)
        is_problem(refused, 422, "validation")


async def test_photo_ids_sort_by_time(world: World) -> None:
    ann = await world.someone()
    grants = [await announced(world, ann) for _ in range(3)]
    photo_ids = [grant["photo_id"] for grant in grants]
    assert photo_ids == sorted(photo_ids)
    assert all(ids.is_id(photo_id, "ph_") for photo_id in photo_ids)
