"""The contract of `Renditions`, on Cassandra and on its twin."""

import secrets
from dataclasses import replace

import pytest

from domain.duplicates import Stored
from domain.ports.photos import Renditions
from schemas.events import VariantRef
from stores.memory.cassandra import MemoryRenditions
from tests.fresh import fresh_id, now_ms

HOUR_MS = 3_600_000


@pytest.fixture(params=["memory", "cassandra"])
def renditions(request: pytest.FixtureRequest) -> Renditions:
    if request.param == "memory":
        return MemoryRenditions()
    real: Renditions = request.getfixturevalue("stores").renditions
    return real


def fresh_stored() -> Stored:
    variants = (
        VariantRef("thumbnail", "ab" * 16, 150, 150, 9_000),
        VariantRef("feed", "cd" * 16, 640, 480, 70_000),
    )
    return Stored(fresh_id("u_"), 4000, 3000, "cGxhY2U", "0f" * 32, variants)


async def since(renditions: Renditions, at: int) -> set[str]:
    return {each async for part in renditions.added(at, now_ms()) for each in part}


async def test_renditions_are_found_by_bytes_and_encoder(renditions: Renditions) -> None:
    sha256, stored = secrets.token_hex(32), fresh_stored()
    assert await renditions.get(sha256, "1") is None
    for _ in range(2):
        await renditions.add(sha256, "1", stored, now_ms())
    assert await renditions.get(sha256, "1") == stored
    assert await renditions.get(sha256, "2") is None
    assert await renditions.get(secrets.token_hex(32), "1") is None


async def test_the_newest_owner_counts(renditions: Renditions) -> None:
    sha256, first = secrets.token_hex(32), fresh_stored()
    second = replace(first, user_id=fresh_id("u_"), phash="")
    await renditions.add(sha256, "1", first, now_ms())
    await renditions.add(sha256, "1", second, now_ms())
    assert await renditions.get(sha256, "1") == second


async def test_only_the_owner_s_row_is_forgotten(renditions: Renditions) -> None:
    sha256, stored = secrets.token_hex(32), fresh_stored()
    await renditions.add(sha256, "1", stored, now_ms())
    await renditions.forget(sha256, "1", fresh_id("u_"))
    assert await renditions.get(sha256, "1") == stored
    for _ in range(2):
        await renditions.forget(sha256, "1", stored.user_id)
        assert await renditions.get(sha256, "1") is None


async def test_what_was_added_is_told_from_a_time_on(renditions: Renditions) -> None:
    now = now_ms()
    old, new = secrets.token_hex(32), secrets.token_hex(32)
    await renditions.add(old, "1", fresh_stored(), now - 3 * HOUR_MS)
    await renditions.add(new, "1", fresh_stored(), now)
    assert {old, new} <= await since(renditions, now - 4 * HOUR_MS)
    found = await since(renditions, now - HOUR_MS)
    assert new in found
    assert old not in found
