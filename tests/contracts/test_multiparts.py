"""The contract of `Multiparts` and of `OpenUploads`, on the servers and on their twins."""

import asyncio
from dataclasses import dataclass

import httpx
import pytest

from domain import ids
from domain.ports.uploads import Multiparts, Objects, OpenUploads
from domain.settings import Settings, Uploads
from domain.uploads import OpenUpload, Part, plan_parts
from stores import migrate
from stores.connect import Stores
from stores.memory.open_uploads import MemoryMultiparts, MemoryOpenUploads
from stores.memory.s3 import MemoryObjects
from stores.s3_multipart import S3Multiparts
from tests.fresh import fresh_id, now_ms

MIB = 1024 * 1024
UPLOADS = Uploads()
DATA = bytes(range(256)) * (4096 * 5) + b"the last part"
PLAN = plan_parts(len(DATA), 5 * MIB)


@dataclass
class Client:
    """A client of the presigned URLs, and the store it uploads to."""

    multiparts: Multiparts
    objects: Objects

    async def put(self, url: str, data: bytes) -> int:
        if isinstance(self.multiparts, MemoryMultiparts):
            return await self.multiparts.receive(url, data)
        async with httpx.AsyncClient(timeout=20) as http:
            return (await http.put(url, content=data)).status_code

    async def begun(self) -> tuple[str, str, list[str]]:
        key = fresh_id("test/")
        upload_id = await self.multiparts.begin(key, "image/png")
        return key, upload_id, await self.multiparts.presign_parts(key, upload_id, PLAN, 900)

    async def filled(self) -> tuple[str, str]:
        key, upload_id, urls = await self.begun()
        for part, url in zip(PLAN, urls, strict=True):
            assert await self.put(url, piece(part)) == 200
        return key, upload_id


def piece(part: Part) -> bytes:
    start = (part.number - 1) * 5 * MIB
    return DATA[start : start + part.size_bytes]


@pytest.fixture(params=["memory", "s3"])
def client(request: pytest.FixtureRequest) -> Client:
    if request.param == "memory":
        objects = MemoryObjects()
        return Client(MemoryMultiparts(objects), objects)
    stores: Stores = request.getfixturevalue("stores")
    return Client(stores.multiparts, stores.objects)


async def test_the_parts_in_any_order_make_the_object(client: Client) -> None:
    key, upload_id, urls = await client.begun()
    assert await client.multiparts.parts(key, upload_id) == []
    for part, url in reversed(list(zip(PLAN, urls, strict=True))):
        assert await client.objects.head(UPLOADS.bucket, key) is None
        assert await client.put(url, piece(part)) == 200
    held = await client.multiparts.parts(key, upload_id)
    assert held is not None
    assert [(part.number, part.size_bytes) for part in held] == [(1, 5 * MIB), (2, 13)]
    await client.multiparts.complete(key, upload_id, held)
    info = await client.objects.head(UPLOADS.bucket, key)
    assert info is not None
    assert (info.size_bytes, info.content_type) == (len(DATA), "image/png")
    assert await client.objects.get(UPLOADS.bucket, key, etag=info.etag) == DATA
    assert await client.multiparts.parts(key, upload_id) is None


async def test_a_part_of_another_length_is_refused_and_one_sent_twice_is_one(
    client: Client,
) -> None:
    key, upload_id, urls = await client.begun()
    assert await client.put(urls[1], b"x" * 12) == 403
    assert await client.put(urls[1], b"x" * 14) == 403
    for _ in range(2):
        assert await client.put(urls[1], piece(PLAN[1])) == 200
    held = await client.multiparts.parts(key, upload_id)
    assert held is not None
    assert [part.number for part in held] == [2]
    assert await client.put(urls[0], piece(PLAN[0])) == 200
    held = await client.multiparts.parts(key, upload_id)
    assert held is not None
    await client.multiparts.complete(key, upload_id, held)
    assert await client.objects.get(UPLOADS.bucket, key) == DATA


async def test_completing_from_many_sides_makes_one_object_that_stays(client: Client) -> None:
    key, upload_id = await client.filled()
    held = await client.multiparts.parts(key, upload_id) or []
    complete = client.multiparts.complete
    await asyncio.gather(*(complete(key, upload_id, held) for _ in range(4)))
    first = await client.objects.head(UPLOADS.bucket, key)
    await complete(key, upload_id, held)
    await client.multiparts.abort(key, upload_id)
    again = await client.objects.head(UPLOADS.bucket, key)
    assert first is not None
    assert again is not None
    assert first.etag == again.etag


async def test_an_aborted_upload_takes_no_part_and_makes_no_object(client: Client) -> None:
    key, upload_id, urls = await client.begun()
    assert await client.put(urls[1], piece(PLAN[1])) == 200
    held = await client.multiparts.parts(key, upload_id) or []
    for _ in range(2):
        await client.multiparts.abort(key, upload_id)
    assert await client.put(urls[0], piece(PLAN[0])) == 404
    await client.multiparts.complete(key, upload_id, held)
    assert await client.objects.head(UPLOADS.bucket, key) is None


async def test_the_sweep_takes_what_was_begun_before_and_nothing_else(client: Client) -> None:
    key, upload_id, _ = await client.begun()
    await client.multiparts.abort_older(now_ms() - 600_000)
    assert await client.multiparts.parts(key, upload_id) == []
    assert await client.multiparts.abort_older(now_ms() + 60_000) >= 1
    assert await client.multiparts.parts(key, upload_id) is None


# --- open uploads ---------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "cassandra"])
def open_uploads(request: pytest.FixtureRequest) -> OpenUploads:
    if request.param == "memory":
        return MemoryOpenUploads()
    stores: Stores = request.getfixturevalue("stores")
    return stores.open_uploads


async def test_an_open_upload_is_found_by_its_minute_until_it_is_closed(
    open_uploads: OpenUploads,
) -> None:
    plain, multipart = OpenUpload(fresh_id("ph_")), OpenUpload(fresh_id("ph_"), "an-id")
    for upload in (plain, multipart, multipart):
        await open_uploads.add(upload)
    assert await open_uploads.upload_id(plain.photo_id) is None
    assert await open_uploads.upload_id(multipart.photo_id) == "an-id"
    minute = ids.time_of(plain.photo_id) // 60_000
    minutes = [minute, minute + 1]  # the second id may be of the next
    found = [each for row in (await open_uploads.of_minutes(minutes)).values() for each in row]
    assert {plain, multipart} <= set(found)
    assert len(found) == len(set(found))
    assert await open_uploads.of_minutes([minute - 60 * 24 * 300]) == {}
    for _ in range(2):
        await open_uploads.close(multipart.photo_id)
    assert await open_uploads.upload_id(multipart.photo_id) is None
    left = (await open_uploads.of_minutes(minutes)).values()
    assert multipart not in [each for row in left for each in row]


# --- what only the real server has ----------------------------------------------------------------


async def test_the_bucket_itself_drops_what_is_never_completed(
    stores: Stores, settings: Settings
) -> None:
    await migrate.limit_uploads(settings)
    multiparts = stores.multiparts
    assert isinstance(multiparts, S3Multiparts)
    told = await multiparts.call(
        lambda: multiparts.client.get_bucket_lifecycle_configuration(Bucket=UPLOADS.bucket)
    )
    [rule] = told["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


async def test_a_client_may_complete_by_itself_and_only_once(stores: Stores) -> None:
    client = Client(stores.multiparts, stores.objects)
    key, upload_id = await client.filled()
    assert isinstance(stores.multiparts, S3Multiparts)
    held = await stores.multiparts.parts(key, upload_id) or []
    url, headers = await stores.multiparts.presign_complete(key, upload_id, 900)
    parts = "".join(
        f"<Part><PartNumber>{p.number}</PartNumber><ETag>{p.etag}</ETag></Part>" for p in held
    )
    body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
    async with httpx.AsyncClient() as http:
        answers = [
            (await http.post(url, content=body, headers=sent)).status_code
            for sent in ({}, headers, headers)
        ]
    assert answers == [403, 200, 412]
    assert await stores.objects.get(UPLOADS.bucket, key) == DATA
