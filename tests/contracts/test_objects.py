"""The contract of `Objects`, on the object server and on its twin."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from pydantic import SecretStr

from domain.errors import Reason, StoreAway, Unrecoverable
from domain.ports.uploads import Objects
from domain.settings import Settings, Uploads
from stores.connect import Stores
from stores.memory.s3 import MemoryObjects
from stores.s3_objects import S3Objects
from tests.fresh import fresh_id

DATA = b"\xff\xd8 a photo, more or less"
TYPE = "image/jpeg"
UPLOADS = Uploads().bucket


@dataclass
class Client:
    """A client of the presigned URLs, and the store it uploads to."""

    objects: Objects
    http: httpx.AsyncClient

    async def put(self, url: str, headers: dict[str, str], data: bytes = DATA) -> int:
        """PUT the data with the headers, but of its real length; the status."""
        if isinstance(self.objects, MemoryObjects):
            return await self.objects.receive(url, headers, data)
        real = headers | {"Content-Length": str(len(data))}
        return (await self.http.put(url, headers=real, content=data)).status_code


@pytest.fixture(params=["memory", "s3"])
def objects(request: pytest.FixtureRequest) -> Objects:
    if request.param == "memory":
        return MemoryObjects()
    stores: Stores = request.getfixturevalue("stores")
    return stores.objects


@pytest.fixture
async def client(objects: Objects) -> AsyncIterator[Client]:
    async with httpx.AsyncClient(timeout=20) as http:
        yield Client(objects, http)


async def presigned(objects: Objects, sha256: str | None = None) -> tuple[str, str, dict[str, str]]:
    key = fresh_id("test/")
    url, headers = await objects.presign_put(key, TYPE, len(DATA), 900, sha256)
    return key, url, headers


async def test_an_upload_is_what_was_announced(client: Client) -> None:
    key, url, headers = await presigned(client.objects, hashlib.sha256(DATA).hexdigest())
    assert await client.objects.head(UPLOADS, key) is None
    assert await client.put(url, headers) == 200
    info = await client.objects.head(UPLOADS, key)
    assert info is not None
    assert (info.size_bytes, info.content_type) == (len(DATA), TYPE)
    assert await client.objects.get(UPLOADS, key) == DATA
    assert await client.objects.get(UPLOADS, key, etag=info.etag) == DATA


async def test_every_signed_header_is_told() -> None:
    objects = S3Objects("http://127.0.0.1:9", SecretStr("key"), SecretStr("secret"), Uploads())
    url, headers = await objects.presign_put("k", TYPE, 7, 900, "00" * 32)
    signed = set(httpx.URL(url).params["X-Amz-SignedHeaders"].split(";"))
    assert signed == {name.lower() for name in headers} | {"host"}
    assert httpx.URL(url).params["X-Amz-Expires"] == "900"
    await objects.close()


@pytest.mark.parametrize("data", [DATA + b"!", DATA[:-1], b""])
async def test_another_length_is_refused(client: Client, data: bytes) -> None:
    key, url, headers = await presigned(client.objects)
    assert await client.put(url, headers, data) == 403
    assert await client.objects.head(UPLOADS, key) is None


@pytest.mark.parametrize("name", ["Content-Type", "If-None-Match"])
async def test_a_changed_or_missing_header_is_refused(client: Client, name: str) -> None:
    key, url, headers = await presigned(client.objects)
    assert await client.put(url, headers | {name: "image/png"}) == 403
    headers.pop(name)
    assert await client.put(url, headers) == 403
    assert await client.objects.head(UPLOADS, key) is None


async def test_other_bytes_than_the_announced_sum_are_refused(client: Client) -> None:
    key, url, headers = await presigned(client.objects, hashlib.sha256(DATA).hexdigest())
    assert await client.put(url, headers, DATA[::-1]) == 400
    assert await client.objects.head(UPLOADS, key) is None
    assert await client.put(url, headers) == 200


async def test_a_second_put_is_refused(client: Client) -> None:
    key, url, headers = await presigned(client.objects)
    assert await client.put(url, headers) == 200
    assert await client.put(url, headers, DATA[::-1]) == 412
    assert await client.objects.get(UPLOADS, key) == DATA


async def test_an_object_of_another_etag_is_missing(objects: Objects) -> None:
    key = fresh_id("test/")
    await objects.put(UPLOADS, key, DATA, TYPE)
    with pytest.raises(Unrecoverable) as caught:
        await objects.get(UPLOADS, key, etag="0" * 32)
    assert caught.value.reason is Reason.MISSING_OBJECT
    with pytest.raises(Unrecoverable):
        await objects.get(UPLOADS, fresh_id("test/"))


async def test_put_and_delete_twice_is_once(objects: Objects) -> None:
    key = fresh_id("test/")
    for _ in range(2):
        await objects.put(UPLOADS, key, DATA, TYPE)
        assert await objects.get(UPLOADS, key) == DATA
    for _ in range(2):
        await objects.delete(UPLOADS, key)
        assert await objects.head(UPLOADS, key) is None


# --- what only the real server has ----------------------------------------------------------------


async def test_a_stranger_reads_nothing(stores: Stores, settings: Settings) -> None:
    key = fresh_id("test/")
    await stores.objects.put(UPLOADS, key, DATA, TYPE)
    async with httpx.AsyncClient() as stranger:
        answer = await stranger.get(f"{settings.url('s3')}/{UPLOADS}/{key}")
    assert answer.status_code == 403


async def test_a_url_copies_nobody_elses_object(stores: Stores) -> None:
    other = fresh_id("test/")
    await stores.objects.put(UPLOADS, other, DATA, TYPE)
    key, url, headers = await presigned(stores.objects)
    copying = headers | {"x-amz-copy-source": f"/{UPLOADS}/{other}"}  # no signed header
    async with httpx.AsyncClient() as http:
        answer = await http.put(url, headers=copying, content=DATA)
    assert answer.status_code == 403
    assert await stores.objects.head(UPLOADS, key) is None


async def test_a_server_that_does_not_answer_is_away() -> None:
    objects = S3Objects("http://127.0.0.1:9", SecretStr("key"), SecretStr("secret"), Uploads())
    with pytest.raises(StoreAway):
        await objects.head(UPLOADS, "key")
    await objects.close()
