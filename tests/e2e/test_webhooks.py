"""A person's receiver is told what became of their uploads, by the stack's own worker."""

import asyncio
import hashlib
import hmac
import io
import json
import secrets
from base64 import b64decode
from typing import Any

import httpx
import pytest
from PIL import Image

from domain.settings import Settings
from ops.demo.client import Client
from tests.receiver import Receiver, answer
from tests.waiting import until

SECRET = secrets.token_urlsafe(24)


def picture() -> bytes:
    out = io.BytesIO()
    Image.effect_noise((320, 240), 80).convert("RGB").save(out, "JPEG")
    return out.getvalue()


async def upload(client: Client, data: bytes) -> str:
    words = {"filename": "a.jpg", "content_type": "image/jpeg", "size_bytes": len(data)}
    return (await client.upload(words, data)).photo_id


async def test_a_receiver_is_told_of_what_is_published_and_of_what_is_rejected(
    settings: Settings,
) -> None:
    if not settings.webhooks.allow_loopback_http:
        pytest.skip("the stack was started without PHOTOFEED_WEBHOOKS__ALLOW_LOOPBACK_HTTP")
    receiver = Receiver(lambda _: answer(200))
    hook = {"url": await receiver.open(), "secret": SECRET}
    async with httpx.AsyncClient(base_url=settings.url("api"), timeout=20.0) as http:
        client = Client(http, f"hook_{secrets.token_hex(6)}", secrets.token_urlsafe(12))
        await client.register("Hook")
        await client.put("/users/me/webhook", hook)
        good = await upload(client, picture())
        bad = await upload(client, b"\xff\xd8\xff" + b"no picture" * 99)

    async def told() -> bool:
        return len(receiver.calls) == 2

    await until(told, 60.0)
    await asyncio.sleep(1.0)
    receiver.close()
    assert len(receiver.calls) == 2
    bodies: dict[str, Any] = {}
    for call in receiver.calls:
        text = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode()
        digest = hmac.new(SECRET.encode(), text + call.body, hashlib.sha256).digest()
        assert b64decode(call.headers["webhook-signature"].removeprefix("v1,")) == digest
        body = json.loads(call.body)
        assert body["event_id"] == call.headers["webhook-id"]
        bodies[body["photo_id"]] = body
    assert bodies[good]["type"] == "photo.published"
    assert set(bodies[good]["urls"]) == {"thumbnail", "feed", "full"}
    assert bodies[bad]["type"] == "photo.rejected"
    assert bodies[bad]["reason"]
