"""MachineLeases: the twin and PostgreSQL keep the same promises (I12)."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from domain.errors import Transient
from domain.ports.log import MachineLeases
from stores.memory.postgres import MemoryMachineLeases
from stores.postgres_leases import PostgresMachineLeases
from stores.postgres_pool import PostgresPool

TTL_S = 60.0


@dataclass
class Leases:
    """The adapter under test, and a way to let its server's time pass."""

    store: MachineLeases
    pass_seconds: Callable[[float], Awaitable[None]]


@pytest.fixture(params=["memory", "postgres"])
async def leases(request: pytest.FixtureRequest, postgres: PostgresPool) -> Leases:
    now = [1000.0]

    async def move_clock(seconds: float) -> None:
        now[0] += seconds

    async def age_rows(seconds: float) -> None:
        await postgres.run(
            "UPDATE machine_leases SET expires_at = expires_at - %s * interval '1 second'",
            (seconds,),
        )

    if request.param == "memory":
        return Leases(MemoryMachineLeases(lambda: now[0]), move_clock)
    await postgres.run(
        "UPDATE machine_leases SET holder = NULL, expires_at = '-infinity', used_until = 0"
    )
    return Leases(PostgresMachineLeases(postgres), age_rows)


async def _fill(leases: Leases) -> None:
    """Lease all ids but one for long."""
    await asyncio.gather(
        *(leases.store.acquire(f"filler {n}", TTL_S * 100, 500) for n in range(1023))
    )


async def test_no_two_holders_share_a_machine_id(leases: Leases) -> None:
    found = await asyncio.gather(
        *(leases.store.acquire(f"holder {n}", TTL_S, 100) for n in range(60))
    )
    assert len({machine_id for machine_id, _ in found}) == 60
    assert all(0 <= machine_id < 1024 for machine_id, _ in found)


async def test_a_lease_lasts_until_it_ends_and_longer_when_renewed(leases: Leases) -> None:
    machine_id, _ = await leases.store.acquire("first", TTL_S, 100)
    await leases.pass_seconds(TTL_S - 5)
    assert await leases.store.renew(machine_id, "first", TTL_S, 200)
    await leases.pass_seconds(TTL_S - 5)
    others = [await leases.store.acquire(f"other {n}", TTL_S, 300) for n in range(5)]
    assert machine_id not in [each for each, _ in others]


async def test_after_expiry_only_one_of_the_takers_gets_it_and_starts_above(
    leases: Leases,
) -> None:
    await asyncio.gather(*(leases.store.acquire(f"holder {n}", TTL_S, 500) for n in range(1024)))
    await leases.pass_seconds(TTL_S + 1)
    found = await asyncio.gather(
        *(leases.store.acquire(f"taker {n}", TTL_S, 900) for n in range(40))
    )
    assert len({machine_id for machine_id, _ in found}) == 40
    assert {used_until for _, used_until in found} == {500}


async def test_who_lost_its_lease_can_neither_renew_nor_release_it(leases: Leases) -> None:
    machine_id, _ = await leases.store.acquire("first", TTL_S, 500)
    await _fill(leases)
    await leases.pass_seconds(TTL_S + 1)
    assert await leases.store.acquire("second", TTL_S, 900) == (machine_id, 500)
    assert not await leases.store.renew(machine_id, "first", TTL_S, 950)
    await leases.store.release(machine_id, "first", 100)
    assert await leases.store.renew(machine_id, "second", TTL_S, 950)
    with pytest.raises(Transient):
        await leases.store.acquire("third", TTL_S, 900)


async def test_a_released_id_is_remembered_by_its_last_use(leases: Leases) -> None:
    machine_id, _ = await leases.store.acquire("first", TTL_S, 500)
    await _fill(leases)
    await leases.store.release(machine_id, "first", 123)
    assert await leases.store.acquire("next", TTL_S, 900) == (machine_id, 123)


async def test_the_longest_unused_id_comes_first(leases: Leases) -> None:
    machine_id, _ = await leases.store.acquire("first", TTL_S, 500)
    await leases.store.release(machine_id, "first", 400)
    assert (await leases.store.acquire("second", TTL_S, 900))[0] != machine_id


async def test_a_granted_range_never_shrinks_while_it_is_held(leases: Leases) -> None:
    machine_id, _ = await leases.store.acquire("first", TTL_S, 500)
    assert await leases.store.renew(machine_id, "first", TTL_S, 300)
    await _fill(leases)
    await leases.pass_seconds(TTL_S + 1)
    assert await leases.store.acquire("second", TTL_S, 900) == (machine_id, 500)
