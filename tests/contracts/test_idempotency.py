"""IdempotencyKeys: the twin and PostgreSQL keep the same promises."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from domain.ports.accounts import IdempotencyKeys
from stores.memory.postgres import MemoryIdempotencyKeys
from stores.postgres_idempotency import PostgresIdempotencyKeys
from stores.postgres_pool import PostgresPool
from tests.fresh import fresh_id


@dataclass
class Keys:
    """The adapter under test, and a way to let its server's time pass."""

    store: IdempotencyKeys
    pass_seconds: Callable[[int], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
def keys(request: pytest.FixtureRequest, postgres: PostgresPool) -> Keys:
    now = [1000.0]

    async def move_clock(seconds: int) -> None:
        now[0] += seconds

    async def age_rows(seconds: int) -> None:
        await postgres.run(
            "UPDATE idempotency_keys SET expires_at = expires_at - %s * interval '1 second'",
            (seconds,),
        )

    if request.param == "memory":
        return Keys(MemoryIdempotencyKeys(lambda: now[0]), move_clock)
    return Keys(PostgresIdempotencyKeys(postgres), age_rows)


async def test_the_first_answer_is_given_again_byte_for_byte(keys: Keys) -> None:
    user, key = fresh_id("u_"), fresh_id()
    assert await keys.store.begin(user, key, "print") is None
    await keys.store.finish(user, key, 201, b'{"a": 1}\x00')
    await keys.store.finish(user, key, 500, b"later")
    found = await keys.store.begin(user, key, "other print")
    assert found is not None
    assert (found.fingerprint, found.status, found.body) == ("print", 201, b'{"a": 1}\x00')


async def test_only_one_of_many_claims_wins(keys: Keys) -> None:
    user, key = fresh_id("u_"), fresh_id()
    found = await asyncio.gather(*(keys.store.begin(user, key, "print") for _ in range(12)))
    assert found.count(None) == 1
    assert {each.status for each in found if each is not None} == {0}


async def test_a_released_claim_may_be_made_again(keys: Keys) -> None:
    user, key = fresh_id("u_"), fresh_id()
    assert await keys.store.begin(user, key, "print") is None
    await keys.store.release(user, key)
    assert await keys.store.begin(user, key, "print") is None


async def test_an_answer_is_never_released(keys: Keys) -> None:
    user, key = fresh_id("u_"), fresh_id()
    await keys.store.begin(user, key, "print")
    await keys.store.finish(user, key, 200, b"")
    await keys.store.release(user, key)
    assert await keys.store.begin(user, key, "print") is not None


async def test_the_claim_of_a_dead_process_is_taken_over(keys: Keys) -> None:
    user, key = fresh_id("u_"), fresh_id()
    await keys.store.begin(user, key, "print")
    await keys.pass_seconds(29)
    assert await keys.store.begin(user, key, "print") is not None
    await keys.pass_seconds(2)
    assert await keys.store.begin(user, key, "print") is None


async def test_an_answer_is_kept_for_a_day(keys: Keys) -> None:
    user, key = fresh_id("u_"), fresh_id()
    await keys.store.begin(user, key, "print")
    await keys.store.finish(user, key, 200, b"")
    await keys.pass_seconds(24 * 3600 - 60)
    assert await keys.store.begin(user, key, "print") is not None
    await keys.pass_seconds(120)
    assert await keys.store.begin(user, key, "print") is None


async def test_keys_of_others_are_others(keys: Keys) -> None:
    key = fresh_id()
    assert await keys.store.begin(fresh_id("u_"), key, "print") is None
    assert await keys.store.begin(fresh_id("u_"), key, "print") is None
