"""Deleting and rendering again on the real stack, up to the edge (I3)."""

import asyncio
import io
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
from PIL import Image

from domain.media import image_urls
from domain.renditions import object_key
from domain.settings import Settings
from ops.demo.client import Client, Json
from stores.connect import Stores
from tests.ops.cli import photofeed
from tests.waiting import until

LIMIT_S = 30.0
REPLAYED_S = 3.0
"""Stages take what is replayed at once; nothing tells when they have."""


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=settings.url("api"), timeout=30.0) as opened:
        yield opened


def picture() -> bytes:
    """A photograph of noise: no other has its bytes."""
    image = Image.frombytes("RGB", (64, 48), secrets.token_bytes(64 * 48 * 3))
    data = io.BytesIO()
    image.resize((800, 600)).save(data, "JPEG", quality=80)
    return data.getvalue()


async def signed_in(http: httpx.AsyncClient) -> Client:
    client = Client(http, "t" + secrets.token_hex(8), secrets.token_hex(8))
    await client.register("somebody")
    return client


async def publish(client: Client, data: bytes, tag: str) -> Json:
    words = {
        "filename": "a.jpg",
        "content_type": "image/jpeg",
        "size_bytes": len(data),
        "caption": "to be deleted",
        "tags": [tag],
    }
    uploaded = await client.upload(words, data)
    status = await client.wait_published(uploaded.photo_id, LIMIT_S)
    assert status["status"] == "published", status
    return status


async def is_served_for_good(http: httpx.AsyncClient, urls: list[str]) -> None:
    """Fails unless the edge serves these pictures as what never changes."""
    for url in urls:
        first = await http.get(url)
        assert first.status_code == 200
        assert first.headers["cache-control"] == "public, max-age=2592000, immutable"
        assert (await http.get(url)).headers["x-cache"] == "HIT"
        assert (await http.head(url)).headers["etag"] == first.headers["etag"]
        held = {"If-None-Match": first.headers["etag"]}
        assert (await http.get(url, headers=held)).status_code == 304
        part = await http.get(url, headers={"Range": "bytes=1-9"})
        assert (part.status_code, part.content) == (206, first.content[1:10])


async def replay_everything(photo_id: str, author_id: str) -> None:
    """All events that once made the post visible, once more to their stages."""
    for topic, group, key in (
        ("photo.processed", "publish_post", photo_id),
        ("post.published", "plan_fan_out", author_id),
        ("post.published", "index_search", author_id),
    ):
        words = ("--topic", topic, "--from", "0", "--group", group, "--key", key, "--json")
        answer = await asyncio.to_thread(photofeed, "replay", *words)
        assert answer.document["replayed"] >= 1, answer
    await asyncio.sleep(REPLAYED_S)


async def test_a_deleted_post_is_gone_everywhere_and_its_twin_stays(
    http: httpx.AsyncClient, stores: Stores
) -> None:
    ann, bob = await signed_in(http), await signed_in(http)
    await bob.follow(ann.user_id)
    tag, data = "t" + secrets.token_hex(6), picture()
    gone, twin = [await publish(ann, data, tag) for _ in range(2)]
    both = {gone["photo_id"], twin["photo_id"]}

    async def ids(path: str) -> set[str]:
        return {post["post_id"] for post in (await bob.get(path))["posts"]}

    async def tagged() -> set[str]:
        return {entry.post_id for entry in await stores.search_index.by_tag(tag, None, 9)}

    async def everywhere() -> bool:
        return await ids("/feed") == both and await tagged() == both

    await until(everywhere, LIMIT_S)
    await is_served_for_good(http, [*gone["urls"].values(), *twin["urls"].values()])
    # The client has no verb for it: one plain call, as the owner.
    headers = {"Authorization": f"Bearer {ann._token}"}  # noqa: SLF001 - its own token
    path = f"/posts/{gone['photo_id']}"
    assert (await http.delete(path, headers=headers)).status_code == 202
    assert (await http.get(path, headers=headers)).status_code == 410
    left = {twin["photo_id"]}

    async def nowhere() -> bool:
        answers = [await http.get(url) for url in gone["urls"].values()]
        return {answer.status_code for answer in answers} == {410} and await tagged() == left

    await until(nowhere, LIMIT_S)
    assert await ids("/feed") == await ids(f"/users/{ann.user_id}/feed") == left
    assert await ids(f"/hashtag/{tag}") == left
    assert (await bob.get(f"/users/{ann.user_id}"))["post_count"] == 1
    assert (await ann.get(f"/photos/{gone['photo_id']}/status"))["status"] == "deleted"
    answers = [await http.get(url) for url in twin["urls"].values()]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert await stores.media_refs.held(gone["photo_id"]) == set()
    assert len(await stores.media_refs.held(twin["photo_id"])) == 3

    await replay_everything(gone["photo_id"], ann.user_id)
    assert await ids("/feed") == await ids(f"/users/{ann.user_id}/feed") == left
    assert await tagged() == left
    assert await nowhere()


async def test_rendering_again_gives_new_urls_and_the_old_ones_are_gone(
    http: httpx.AsyncClient, stores: Stores, settings: Settings
) -> None:
    ann = await signed_in(http)
    photo_id = (await publish(ann, picture(), "again"))["photo_id"]
    post = await stores.photos.get(photo_id)
    assert post is not None
    # As if another encoder had made it: bytes of its own, stored, held and shown.
    data, other = b"of an older encoder", secrets.token_hex(16)
    old = tuple(replace(each, hash=other) for each in post.variants)
    await stores.media_refs.hold(ann.user_id, {other}, photo_id)
    key = object_key(ann.user_id, other)
    await stores.objects.put(settings.uploads.media_bucket, key, data, "image/jpeg")
    shown = await stores.photos.revise(photo_id, lambda row: replace(row, variants=old))
    assert shown is not None
    before = image_urls(settings.url("edge"), shown)
    assert [(await http.get(url)).content for url in before.values()] == [data] * 3

    done = await asyncio.to_thread(photofeed, "photos", "reprocess", "--photo", photo_id, "--json")
    assert (done.code, done.document["changed"]) == (0, 1), done

    async def purged() -> bool:
        return {(await http.get(url)).status_code for url in before.values()} == {404}

    await until(purged, LIMIT_S)
    page = await ann.get(f"/posts/{photo_id}")
    after = list(page["image_urls"].values())
    assert [(await http.get(url)).status_code for url in after] == [200] * 3
    assert set(after) == set(image_urls(settings.url("edge"), post).values())
    row = await stores.photos.get(photo_id)
    assert row is not None
    assert row.variants == post.variants
