"""The id generator on real leases and on a clock that we move."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from domain.errors import StoreAway, Transient
from domain.ids import EPOCH_MS, is_id, read, time_of
from domain.ports.log import MachineLeases
from domain.settings import Settings
from stores.id_source import IdSource
from stores.memory.postgres import MemoryMachineLeases
from stores.migrate import migrate_postgres
from stores.postgres_leases import PostgresMachineLeases
from stores.postgres_pool import PostgresPool
from tests.databases import new_database


@dataclass
class Clock:
    """Wall and monotonic time, as one process sees them."""

    wall: float = EPOCH_MS / 1000 + 1e6
    monotonic: float = 0.0

    def sleep(self, seconds: float) -> None:
        """Both go on."""
        self.wall += seconds
        self.monotonic += seconds


class AwayLeases(MemoryMachineLeases):
    """Leases on a server that can be taken away."""

    away = False

    async def renew(self, machine_id: int, holder: str, ttl_s: float, use_until: int) -> bool:
        if self.away:
            raise StoreAway("postgres: gone")
        return await super().renew(machine_id, holder, ttl_s, use_until)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(clock: Clock) -> AwayLeases:
    return AwayLeases(lambda: clock.wall)


def _source(leases: MemoryMachineLeases, clock: Clock) -> IdSource:
    return IdSource(
        leases, lease_s=60.0, wall_s=lambda: clock.wall, monotonic_s=lambda: clock.monotonic
    )


async def test_ids_carry_their_prefix_and_the_time(leases: AwayLeases, clock: Clock) -> None:
    source = _source(leases, clock)
    await source.hold()
    text = source.next_id("ph_")
    assert is_id(text, "ph_")
    assert time_of(text) == int(clock.wall * 1000)
    assert source.next_id("ph_") > text
    assert is_id(source.next_id(), "")


async def test_nothing_is_made_before_start_or_after_close(
    leases: AwayLeases, clock: Clock
) -> None:
    source = _source(leases, clock)
    with pytest.raises(Transient):
        source.next_id()
    await source.start()
    source.next_id()
    await source.close()
    with pytest.raises(Transient):
        source.next_id()


async def test_it_stops_before_the_lease_ends_and_goes_on_when_renewed(
    leases: AwayLeases, clock: Clock
) -> None:
    source = _source(leases, clock)
    await source.hold()
    clock.sleep(40)
    leases.away = True
    with pytest.raises(StoreAway):
        await source.hold()
    source.next_id()
    clock.sleep(20)
    with pytest.raises(Transient):
        source.next_id()
    leases.away = False
    await source.hold()
    source.next_id()


async def test_a_lost_lease_is_replaced_by_another_machine_id(
    leases: AwayLeases, clock: Clock
) -> None:
    first, second = _source(leases, clock), _source(leases, clock)
    await first.hold()
    mine = _machine(first)
    for _ in range(1023):
        await leases.acquire("filler", 1000, 0)
    clock.sleep(61)
    await second.hold()
    assert _machine(second) == mine
    with pytest.raises(Transient):
        await first.hold()  # every machine id is leased
    with pytest.raises(Transient):
        first.next_id()


async def test_a_restart_never_reuses_a_millisecond(leases: AwayLeases, clock: Clock) -> None:
    first = _source(leases, clock)
    await first.start()
    last = [first.next_id() for _ in range(10)][-1]
    await first.close()
    for _ in range(1023):
        await leases.acquire("filler", 1000, 0)
    clock.wall -= 0.5
    second = _source(leases, clock)
    await second.hold()
    assert time_of(second.next_id()) > time_of(last)


async def test_a_jump_of_the_wall_clock_is_followed_after_a_renewal(clock: Clock) -> None:
    now = clock.wall
    leases = MemoryMachineLeases(lambda: now)
    source = _source(leases, clock)
    await source.start()
    source.next_id()
    clock.wall += 3600
    with pytest.raises(Transient):
        source.next_id()
    await asyncio.sleep(0.6)  # the renewal hurries because an id was refused
    assert time_of(source.next_id()) == int(clock.wall * 1000)
    await source.close()


@pytest.fixture
async def real_leases(settings: Settings) -> AsyncIterator[MachineLeases]:
    """Leases that no other test holds."""
    with new_database(settings) as dsn:
        await migrate_postgres(dsn)
        pool = PostgresPool(dsn)
        yield PostgresMachineLeases(pool)
        await pool.close()


async def test_on_real_leases_many_processes_make_different_ids(
    real_leases: MachineLeases,
) -> None:
    sources = [IdSource(real_leases) for _ in range(6)]
    await asyncio.gather(*(source.start() for source in sources))
    await asyncio.gather(*(source.hold() for source in sources))
    ids = [source.next_id("u_") for _ in range(500) for source in sources]
    assert len(set(ids)) == len(ids)
    await asyncio.gather(*(source.close() for source in sources))


def _machine(source: IdSource) -> int:
    return (read(source.next_id()) >> 12) & 1023
