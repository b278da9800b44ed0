"""Multipart uploads: in parts, resumed, completed from several sides, given up."""

import asyncio
from typing import Any

import httpx
import pytest

from domain.entities import Photo, PhotoStatus
from domain.settings import Settings
from domain.uploads import GIVEN_UP
from tests.api.test_photos import events_of
from tests.api.world import Someone, World, is_problem
from topics.catalog import UPLOAD_COMPLETED

MIB = 1024 * 1024
PART = 5 * MIB
SIZE = 20_000_000
DATA = bytes(range(256)) * (SIZE // 256 + 1)


async def announced(world: World, who: Someone, **more: Any) -> dict[str, Any]:
    body = {"filename": "a.png", "content_type": "image/png", "size_bytes": SIZE, **more}
    answer = await world.call("POST", "/photos", who, json=body)
    assert answer.status_code == 200, answer.text
    grant: dict[str, Any] = answer.json()
    return grant


async def put(part: dict[str, Any]) -> int:
    start = (part["part_number"] - 1) * PART
    async with httpx.AsyncClient(timeout=30) as http:
        data = DATA[start : start + part["size_bytes"]]
        return (await http.put(part["upload_url"], content=data)).status_code


async def cut(part: dict[str, Any]) -> None:
    """Send half of a part, then lose the connection."""
    url = httpx.URL(part["upload_url"])
    start = (part["part_number"] - 1) * PART
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = f"PUT {url.raw_path.decode()} HTTP/1.1\r\nHost: {url.netloc.decode()}\r\n"
    writer.write(f"{head}Content-Length: {part['size_bytes']}\r\n\r\n".encode())
    writer.write(DATA[start : start + part["size_bytes"] // 2])
    await writer.drain()
    writer.transport.abort()


async def row(world: World, photo_id: str) -> Photo:
    photo = await world.stores.photos.get(photo_id)
    assert photo is not None
    return photo


async def test_over_a_part_an_upload_comes_in_parts(world: World) -> None:
    ann = await world.someone()
    grant = await announced(world, ann)
    assert (grant["upload_method"], grant["part_size"]) == ("MULTIPART", PART)
    assert grant["expires_at"].endswith("Z")
    assert [(p["part_number"], p["size_bytes"]) for p in grant["parts"]] == [
        (1, PART), (2, PART), (3, PART), (4, SIZE - 3 * PART),
    ]  # fmt: skip
    barely = await announced(world, ann, size_bytes=PART + 1)
    assert [part["size_bytes"] for part in barely["parts"]] == [PART, 1]


@pytest.mark.parametrize("lost_after", range(5))
async def test_a_connection_cut_after_any_part_costs_only_the_rest(
    world: World, settings: Settings, lost_after: int
) -> None:
    ann = await world.someone()
    grant = await announced(world, ann)
    photo_id, path = grant["photo_id"], f"/photos/{grant['photo_id']}"
    for part in grant["parts"][:lost_after]:
        assert await put(part) == 200
    for part in grant["parts"][lost_after : lost_after + 1]:
        await cut(part)
        is_problem(await world.call("POST", f"{path}/complete", ann), 409, "upload-mismatch")
    resumed = (await world.call("GET", f"{path}/parts", ann)).json()
    assert [part["part_number"] for part in resumed["parts"]] == list(range(1, lost_after + 1))
    assert all(part["etag"] and part["size_bytes"] for part in resumed["parts"])
    missing = resumed["missing"]
    assert [part["part_number"] for part in missing] == list(range(lost_after + 1, 5))
    assert await asyncio.gather(*(put(part) for part in missing)) == [200] * len(missing)
    answer = await world.call("POST", f"{path}/complete", ann)
    assert answer.status_code == 202, answer.text
    photo = await row(world, photo_id)
    stored = await world.stores.objects.get(settings.uploads.bucket, photo.object_key)
    assert stored == DATA[:SIZE]
    records = await asyncio.to_thread(events_of, settings, photo_id)
    assert len(records) == 1


async def test_two_clients_that_complete_at_once_make_one_post(
    world: World, settings: Settings
) -> None:
    ann = await world.someone()
    grant = await announced(world, ann, size_bytes=PART + 1)
    for part in grant["parts"]:
        assert await put(part) == 200
    path = f"/photos/{grant['photo_id']}/complete"
    words = [{"caption": f"client {n}"} for n in range(4)]
    answers = await asyncio.gather(*(world.call("POST", path, ann, json=each) for each in words))
    assert {answer.status_code for answer in answers} == {202}
    records = await asyncio.to_thread(events_of, settings, grant["photo_id"])
    events = [UPLOAD_COMPLETED.codec.decode(record.value or b"") for record in records]
    assert {event.event_id for event in events} == {f"{grant['photo_id'][3:]}.completed"}
    assert {event.caption for event in events} == {(await row(world, grant["photo_id"])).caption}


async def test_a_client_may_complete_by_itself_and_then_says_so(world: World) -> None:
    ann = await world.someone()
    grant = await announced(world, ann, size_bytes=PART + 1)
    for part in grant["parts"]:
        assert await put(part) == 200
    path = f"/photos/{grant['photo_id']}"
    held = (await world.call("GET", f"{path}/parts", ann)).json()["parts"]
    parts = "".join(
        f"<Part><PartNumber>{p['part_number']}</PartNumber><ETag>{p['etag']}</ETag></Part>"
        for p in held
    )
    async with httpx.AsyncClient() as http:
        done = await http.post(
            grant["complete_url"],
            content=f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>",
            headers=grant["complete_headers"],
        )
    assert done.status_code == 200
    assert (await row(world, grant["photo_id"])).status is PhotoStatus.AWAITING_UPLOAD
    assert (await world.call("GET", f"{path}/parts", ann)).json() == {"parts": [], "missing": []}
    assert (await world.call("POST", f"{path}/complete", ann)).status_code == 202
    assert (await row(world, grant["photo_id"])).status is PhotoStatus.PROCESSING


@pytest.mark.parametrize("size", [3, PART + 1])
async def test_what_was_given_up_is_gone_and_never_published(
    world: World, settings: Settings, size: int
) -> None:
    ann = await world.someone()
    grant = await announced(world, ann, size_bytes=size)
    path = f"/photos/{grant['photo_id']}"
    for part in grant.get("parts", ()):
        assert await put(part) == 200
    for _ in range(2):
        answer = await world.call("DELETE", path, ann)
        assert (answer.status_code, answer.content) == (204, b"")
    status = (await world.call("GET", f"{path}/status", ann)).json()
    assert (status["status"], status["reason"]) == ("rejected", GIVEN_UP)
    is_problem(await world.call("POST", f"{path}/complete", ann), 409, "upload-mismatch")
    assert (await row(world, grant["photo_id"])).status is PhotoStatus.REJECTED
    assert await asyncio.to_thread(events_of, settings, grant["photo_id"]) == []
    for part in grant.get("parts", ()):
        assert await put(part) == 404


async def test_a_completed_upload_cannot_be_given_up(world: World) -> None:
    ann = await world.someone()
    post = await world.post(ann)
    is_problem(await world.call("DELETE", f"/photos/{post.photo_id}", ann), 409, "not-awaited")
    assert (await row(world, post.photo_id)).status is PhotoStatus.PUBLISHED


async def test_only_ones_own_multipart_upload_has_parts(world: World) -> None:
    ann, ben = await world.someone(), await world.someone()
    grant = await announced(world, ann)
    for who in (None, ben):
        answers = [
            await world.call("GET", f"/photos/{grant['photo_id']}/parts", who),
            await world.call("DELETE", f"/photos/{grant['photo_id']}", who),
        ]
        assert {answer.status_code for answer in answers} == {401 if who is None else 404}
    plain = await announced(world, ann, size_bytes=3)
    is_problem(await world.call("GET", f"/photos/{plain['photo_id']}/parts", ann), 404, "not-found")
