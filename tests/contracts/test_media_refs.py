"""The contract of `MediaRefs`, on Cassandra and on its twin: no bytes are lost to a removal."""

import asyncio
import secrets

import pytest

from domain.entities import Unheld
from domain.errors import StoreAway
from domain.ports.photos import MediaRefs
from stores.memory.cassandra import MemoryMediaRefs
from tests.fresh import fresh_id

NOW = 1_800_000_000_000


@pytest.fixture(params=["memory", "cassandra"])
def refs(request: pytest.FixtureRequest) -> MediaRefs:
    if request.param == "memory":
        return MemoryMediaRefs()
    real: MediaRefs = request.getfixturevalue("stores").media_refs
    return real


class Bytes:
    """An object that may be there, and its removal, held up if need be."""

    def __init__(self) -> None:
        self.there = True
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def delete(self) -> None:
        self.begun.set()
        await self.go_on.wait()
        self.there = False


async def waiting(refs: MediaRefs, user: str) -> list[Unheld]:
    return [each for each in await refs.unheld(NOW + 1_000, 10_000) if each.user_id == user]


async def test_what_one_of_two_releases_is_still_held(refs: MediaRefs) -> None:
    user, one, two = fresh_id("u_"), fresh_id("ph_"), fresh_id("ph_")
    shared, own = secrets.token_hex(16), secrets.token_hex(16)
    for _ in range(2):
        await refs.hold(user, {shared, own}, one)
    await refs.hold(user, {shared}, two)
    assert await refs.held(one) == {shared, own}
    for _ in range(2):
        await refs.release(user, {shared, own}, one, NOW)
    assert await refs.held(one) == set()
    assert await refs.held(two) == {shared}
    assert {each.hash for each in await waiting(refs, user)} == {own}
    assert not [each for each in await refs.unheld(NOW, 10_000) if each.user_id == user]


async def test_what_nobody_holds_is_removed_once(refs: MediaRefs) -> None:
    user, photo, content = fresh_id("u_"), fresh_id("ph_"), Bytes()
    content_hash = secrets.token_hex(16)
    await refs.hold(user, {content_hash}, photo)
    await refs.release(user, {content_hash}, photo, NOW)
    [unheld] = await waiting(refs, user)
    assert await refs.remove(unheld, content.delete)
    assert not content.there
    assert await waiting(refs, user) == []
    await refs.hold(user, {content_hash}, photo)  # the claim is gone with it


async def test_what_is_held_again_is_left_and_off_the_list(refs: MediaRefs) -> None:
    user, photo, content = fresh_id("u_"), fresh_id("ph_"), Bytes()
    content_hash = secrets.token_hex(16)
    await refs.release(user, {content_hash}, photo, NOW)
    [unheld] = await waiting(refs, user)
    await refs.hold(user, {content_hash}, photo)
    assert not await refs.remove(unheld, content.delete)
    assert content.there
    assert await waiting(refs, user) == []


async def test_who_holds_during_a_removal_waits_for_its_end(refs: MediaRefs) -> None:
    user, photo, content = fresh_id("u_"), fresh_id("ph_"), Bytes()
    content_hash = secrets.token_hex(16)
    await refs.release(user, {content_hash}, photo, NOW)
    [unheld] = await waiting(refs, user)
    content.go_on.clear()
    removal = asyncio.create_task(refs.remove(unheld, content.delete))
    await content.begun.wait()
    with pytest.raises(StoreAway):
        await refs.hold(user, {content_hash}, photo)
    with pytest.raises(StoreAway):
        await refs.remove(unheld, content.delete)
    content.go_on.set()
    assert await removal
    await refs.hold(user, {content_hash}, photo)
    assert await refs.held(photo) == {content_hash}
