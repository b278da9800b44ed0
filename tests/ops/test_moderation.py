"""`photofeed moderation`, and the whole circle on the running stack: stopped, judged, published."""

import asyncio
import hashlib
import io
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from domain.renditions import object_key
from domain.settings import Settings
from ops.blocklist import parsed
from ops.demo.client import Client
from ops.errors import Refused
from stores.connect import Stores
from stores.decoder.pillow import render
from tests.fresh import fresh_id
from tests.ops.cli import Answer, assert_one_line, photofeed
from tests.waiting import until

LIMIT_S = 60.0


def picture() -> bytes:
    """A photo like no other, with enough detail to have a hash."""
    dots = np.frombuffer(secrets.token_bytes(12 * 16 * 3), np.uint8).reshape(12, 16, 3)
    out = io.BytesIO()
    Image.fromarray(dots).resize((640, 480), Image.Resampling.BICUBIC).save(out, "JPEG")
    return out.getvalue()


def phash(data: bytes) -> str:
    found = render(io.BytesIO(data), "image/jpeg", None).phash
    assert found
    return found


def words(data: bytes) -> dict[str, Any]:
    return {
        "filename": "a.jpg",
        "content_type": "image/jpeg",
        "size_bytes": len(data),
        "caption": "dots",
    }


async def command(*arguments: str) -> Answer:
    """The command in a thread: a process that is waited for would hold up the others."""
    return await asyncio.to_thread(photofeed, "moderation", *arguments)


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=settings.url("api"), timeout=30) as client:
        yield client


async def person(http: httpx.AsyncClient) -> Client:
    client = Client(http, fresh_id("m")[:20], secrets.token_hex(12))
    await client.register("Somebody")
    return client


async def blocked(client: Client, data: bytes, folder: Path) -> str:
    """An upload that the list stopped; the photo's id."""
    listed = folder / "list.txt"
    await asyncio.to_thread(listed.write_text, f"# two\n\n{phash(data)},seen before\n")
    answer = await command("blocklist", "import", str(listed), "--source", "tests", "--json")
    assert (answer.code, answer.document["added"]) == (0, 1)
    photo_id = (await client.upload(words(data), data)).photo_id
    status = await client.wait_published(photo_id, LIMIT_S)
    assert (status["status"], status["reason"]) == ("rejected", "blocked")
    return photo_id


async def test_a_blocked_photo_is_kept_from_everyone_until_it_is_restored(
    http: httpx.AsyncClient, stores: Stores, settings: Settings, tmp_path: Path
) -> None:
    author, data = await person(http), picture()
    photo_id = await blocked(author, data, tmp_path)
    rows = (await command("list", "--json")).document["cases"]
    [case] = [row for row in rows if row["photo_id"] == photo_id]
    assert (case["source"], case["reason"], case["status"]) == ("tests", "seen before", "open")
    assert case["distance"] <= 4
    media = settings.uploads.media_bucket
    for variant in render(io.BytesIO(data), "image/jpeg", None).variants:
        key = object_key(author.user_id, variant.content_hash)
        assert await stores.objects.head(media, key) is None
    saved = tmp_path / "saved.jpg"
    assert (await command("show", photo_id, "--save", str(saved))).code == 0
    assert await asyncio.to_thread(saved.read_bytes) == data
    assert (await http.get(f"/posts/{photo_id}")).status_code in {401, 404}

    await command("decide", photo_id, "--uphold", "--why", "it is", "--by", "sam")
    assert (await author.get(f"/photos/{photo_id}/status"))["status"] == "rejected"
    answer = await command("decide", photo_id, "--restore", "--why", "it is not", "--by", "kim")
    assert answer.code == 0, answer.error

    async def published() -> bool:
        status = await author.get(f"/photos/{photo_id}/status")
        return bool(status["status"] == "published")

    await until(published, LIMIT_S)
    post = await author.get(f"/posts/{photo_id}")
    assert post["caption"] == "dots"
    shown = (await command("show", photo_id, "--json")).document
    assert [row["decided_by"] for row in shown["decisions"]] == ["sam", "kim"]
    again = await command("decide", photo_id, "--uphold", "--why", "it is")
    assert again.code == 1
    assert_one_line(again)
    assert (await command("blocklist", "remove", phash(data))).code == 0


async def test_the_same_bytes_are_two_posts_each_under_its_owner(
    http: httpx.AsyncClient, stores: Stores
) -> None:
    data = picture()
    posts = []
    for _ in range(2):
        client = await person(http)
        photo_id = (await client.upload(words(data), data)).photo_id
        assert (await client.wait_published(photo_id, LIMIT_S))["status"] == "published"
        row = await stores.photos.get(photo_id)
        assert row is not None
        posts.append(row)
    one, two = posts
    assert one.sha256 == two.sha256 == hashlib.sha256(data).hexdigest()
    assert one.variants == two.variants
    for post in posts:
        for variant in post.variants:
            key = object_key(post.user_id, variant.hash)
            assert await stores.objects.head(stores.settings.uploads.media_bucket, key)
        own = await stores.photos.own_by_sha256(post.user_id, post.sha256 or "")
        assert own is not None  # its fan-out may have been decided meanwhile
        assert own.photo_id == post.photo_id


def test_a_photo_without_a_case_is_one_line() -> None:
    for words in (("show",), ("decide", "--uphold", "--why", "because")):
        answer = photofeed("moderation", words[0], fresh_id("ph_"), *words[1:])
        assert answer.code == 1
        assert_one_line(answer)


@pytest.mark.parametrize("flags", [("--why", "x"), ("--uphold",), ("--uphold", "--why", " ")])
def test_a_decision_says_what_and_why(flags: tuple[str, ...]) -> None:
    answer = photofeed("moderation", "decide", fresh_id("ph_"), *flags)
    assert answer.code == 2
    assert_one_line(answer)


def test_a_broken_list_is_refused_whole() -> None:
    with pytest.raises(Refused, match="line 3"):
        list(parsed(["ab" * 32, "", "what?"], "tests", "blocked", 1))
    [entry] = parsed(["# words", " " + "AB" * 32 + " , why "], "tests", "blocked", 1)
    assert (entry.hash, entry.reason) == ("ab" * 32, "why")


def test_removing_what_is_not_there_is_one_line() -> None:
    answer = photofeed("moderation", "blocklist", "remove", secrets.token_hex(32))
    assert answer.code == 1
    assert_one_line(answer)
    assert photofeed("moderation", "blocklist", "remove", "what").code == 2
