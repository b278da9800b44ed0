"""Uploads while the processor and the publisher are killed: all are published, none twice.

SOAK_UPLOADS=200 in the environment makes a soak of it.
"""

import asyncio
import io
import os
import random
import secrets
import signal
from collections import Counter
from contextlib import suppress

import httpx
import pytest
from PIL import Image

from domain.settings import Settings
from ops.demo.client import Client

UPLOADS = int(os.environ.get("SOAK_UPLOADS", "24"))
PEOPLE = 1 + UPLOADS // 8
"""The limit is ten uploads a minute and person."""
VICTIMS = ("worker-process_photo-0", "worker-publish_post-0")
LONGEST_LIFE_S = 12.0
LIMIT_S = 600.0


def photograph(number: int) -> bytes:
    """A picture unlike the others, as a JPEG."""
    noise = random.Random(number).randbytes(3 * 64 * 48)  # noqa: S311 - repeatable on purpose
    out = io.BytesIO()
    Image.frombytes("RGB", (64, 48), noise).resize((640, 480)).save(out, "JPEG", quality=88)
    return out.getvalue() + secrets.token_bytes(8)


async def kill_at_random(settings: Settings, kills: list[str]) -> None:
    """SIGKILL one of the victims, again and again; the supervisor brings them back."""
    while True:
        await asyncio.sleep(random.uniform(1.0, LONGEST_LIFE_S))  # noqa: S311 - no secret
        role = random.choice(VICTIMS)  # noqa: S311 - no secret
        with suppress(ProcessLookupError, FileNotFoundError, ValueError):  # it is being born
            kill(settings, role)
            kills.append(role)


def kill(settings: Settings, role: str) -> None:
    os.kill(int((settings.run_dir / "pids" / f"{role}.pid").read_text()), signal.SIGKILL)


async def upload_one(person: Client, number: int) -> str:
    data = photograph(number)
    words = {
        "filename": f"{number}.jpg",
        "content_type": "image/jpeg",
        "size_bytes": len(data),
        "caption": f"photograph {number}",
    }
    return (await person.upload(words, data)).photo_id


@pytest.mark.timeout(1800)
async def test_every_upload_is_published_once_whoever_is_killed(settings: Settings) -> None:
    kills: list[str] = []
    async with httpx.AsyncClient(base_url=settings.url("api"), timeout=20.0) as http:
        people = []
        for _ in range(PEOPLE):
            people.append(Client(http, "k" + secrets.token_hex(6), secrets.token_urlsafe(12)))
            await people[-1].register("Kim")
        killing = asyncio.create_task(kill_at_random(settings, kills))
        gate = asyncio.Semaphore(4)

        async def one(number: int) -> str:
            async with gate:
                await asyncio.sleep(0.4)
                return await upload_one(people[number % PEOPLE], number)

        try:
            posts = await asyncio.gather(*(one(number) for number in range(UPLOADS)))
            await asyncio.sleep(LONGEST_LIFE_S)
        finally:
            killing.cancel()
        ends = await asyncio.gather(
            *(
                people[number % PEOPLE].wait_published(post, LIMIT_S)
                for number, post in enumerate(posts)
            )
        )
        assert [end["status"] for end in ends] == ["published"] * UPLOADS
        assert len(set(posts)) == UPLOADS
        for number, person in enumerate(people):
            mine = sorted(posts[number::PEOPLE])
            assert sorted(await profile(person)) == mine
    assert kills
    print(f"{len(posts)} published, each once; killed {Counter(kills)}")  # noqa: T201 - the soak's result


async def profile(person: Client) -> list[str]:
    """Every post of a person, page by page."""
    found: list[str] = []
    cursor = ""
    while True:
        page = await person.get(f"/users/{person.user_id}/feed?limit=50{cursor}")
        found += [post["post_id"] for post in page["posts"]]
        if not page["has_more"]:
            return found
        cursor = f"&cursor={page['next_cursor']}"
