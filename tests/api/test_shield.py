"""The shield: which bytes a post's URL stands for, and when none."""

import secrets

import httpx
import pytest

from api.shield import FreshRows, create_shield
from domain.entities import Photo, PhotoStatus
from domain.renditions import object_key
from domain.settings import Settings
from stores.connect import Stores
from tests.api.world import PROBLEM, World, is_problem
from tests.fresh import fresh_id

DATA = b"0123456789"


@pytest.fixture
def http(settings: Settings, stores: Stores) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_shield(settings, stores))
    return httpx.AsyncClient(transport=transport, base_url="http://shield.test")


@pytest.fixture
async def picture(world: World, settings: Settings) -> str:
    """Path of a stored thumbnail."""
    ann = await world.someone()
    post = await world.post(ann)
    key = object_key(ann.user_id, post.variants[0].hash)
    await world.stores.objects.put(settings.uploads.media_bucket, key, DATA, "image/jpeg")
    return f"/pub/{post.photo_id}/{post.variants[0].hash}/thumbnail.jpg"


async def test_a_picture_is_served_for_good(http: httpx.AsyncClient, picture: str) -> None:
    answer = await http.get(picture)
    assert (answer.status_code, answer.content) == (200, DATA)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "public, max-age=2592000, immutable"
    assert answer.headers["etag"] == f'"{picture.split("/")[3]}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    head = await http.head(picture)
    assert (head.status_code, head.headers["content-length"]) == (200, "10")
    assert head.headers["etag"] == answer.headers["etag"]


@pytest.mark.parametrize(
    ("asked", "status", "content", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=-99", 206, DATA, "bytes 0-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=3-2", 200, DATA, None),
        ("bytes=0-1,3-4", 200, DATA, None),
        ("bytes=-", 200, DATA, None),
        ("lines=1-2", 200, DATA, None),
    ],
)
async def test_ranges(
    http: httpx.AsyncClient,
    picture: str,
    asked: str,
    status: int,
    content: bytes,
    content_range: str | None,
) -> None:
    answer = await http.get(picture, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("content-range") == content_range


async def test_who_has_it_already_gets_no_bytes(http: httpx.AsyncClient, picture: str) -> None:
    etag = (await http.get(picture)).headers["etag"]
    for held in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = await http.get(picture, headers={"If-None-Match": held})
        assert (answer.status_code, answer.content) == (304, b"")
    assert (await http.get(picture, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_only_the_posts_own_bytes_are_under_its_url(
    http: httpx.AsyncClient, picture: str, world: World
) -> None:
    _, pub, photo_id, content_hash, _ = picture.split("/")
    other = await world.post(await world.someone())
    for path in (
        f"/{pub}/{photo_id}/{secrets.token_hex(16)}/thumbnail.jpg",
        f"/{pub}/{photo_id}/{content_hash}/full.jpg",
        f"/{pub}/{photo_id}/{content_hash}/original.jpg",
        f"/{pub}/{other.photo_id}/{content_hash}/thumbnail.jpg",
        f"/{pub}/{fresh_id('ph_')}/{content_hash}/thumbnail.jpg",
        f"/{pub}/nonsense/{content_hash}/thumbnail.jpg",
        f"/{pub}/{photo_id}/..%2f..%2fsecrets/thumbnail.jpg",
        f"/{pub}/{other.photo_id}/{other.variants[0].hash}/thumbnail.jpg",
        "/",
    ):
        answer = await http.get(path)
        is_problem(answer, 404, "not-found")
        assert answer.headers["cache-control"] == "no-store"


async def test_what_is_not_published_is_not_there(http: httpx.AsyncClient, world: World) -> None:
    awaited = await world.awaited(await world.someone())
    answer = await http.get(f"/pub/{awaited.photo_id}/{'0' * 32}/full.jpg")
    is_problem(answer, 404, "not-found")


async def test_what_was_deleted_is_gone_for_a_minute_at_a_time(
    http: httpx.AsyncClient, world: World
) -> None:
    deleted = await world.awaited(await world.someone(), status=PhotoStatus.DELETED)
    answer = await http.get(f"/pub/{deleted.photo_id}/{'0' * 32}/full.jpg")
    is_problem(answer, 410, "gone")
    assert answer.headers["cache-control"] == "max-age=60"


async def test_a_refresh_sees_a_deletion_at_once_and_readers_after_it(
    http: httpx.AsyncClient, world: World, picture: str
) -> None:
    assert (await http.get(picture)).status_code == 200
    await world.stores.photos.delete(picture.split("/")[2])
    refreshed = await http.get(picture, headers={"X-Refresh": "1"})
    is_problem(refreshed, 410, "gone")
    is_problem(await http.get(picture), 410, "gone")


async def test_a_picture_deleted_while_its_bytes_are_read_is_not_served(
    http: httpx.AsyncClient, world: World, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.stores.objects.get

    async def slowly(bucket: str, key: str) -> bytes:
        data = await read(bucket, key)
        await world.stores.photos.delete(picture.split("/")[2])
        return data

    monkeypatch.setattr(world.stores.objects, "get", slowly)
    is_problem(await http.get(picture), 410, "gone")


async def test_one_of_two_posts_with_the_same_bytes_is_gone_alone(
    http: httpx.AsyncClient, world: World, settings: Settings
) -> None:
    ann = await world.someone()
    one = await world.post(ann)
    two = await world.post(ann, variants=one.variants)
    name, content_hash = one.variants[0].name, one.variants[0].hash
    key = object_key(ann.user_id, content_hash)
    await world.stores.objects.put(settings.uploads.media_bucket, key, DATA, "image/jpeg")
    await world.stores.photos.delete(one.photo_id)
    is_problem(await http.get(f"/pub/{one.photo_id}/{content_hash}/{name}.jpg"), 410, "gone")
    kept = await http.get(f"/pub/{two.photo_id}/{content_hash}/{name}.jpg")
    assert (kept.status_code, kept.content) == (200, DATA)


async def test_writing_is_not_possible(http: httpx.AsyncClient, picture: str) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = await http.request(method, picture)
        assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)


async def test_a_row_is_read_once_in_a_while_and_only_the_published_is_kept(world: World) -> None:
    post = await world.post(await world.someone())
    states: list[Photo | None] = [None, post, post]
    now, reads = 0.0, 0

    async def read(_: str) -> Photo | None:
        nonlocal reads
        reads += 1
        return states[min(reads, len(states)) - 1]

    rows = FreshRows(read, lambda: now)
    assert await rows.get(post.photo_id) is None
    assert await rows.get(post.photo_id) == post, "absence isn't remembered"
    assert await rows.get(post.photo_id) == post
    assert reads == 2
    now = 2.5
    await rows.get(post.photo_id)
    assert reads == 3
