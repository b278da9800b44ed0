"""The adaptive threshold's home: the twin and PostgreSQL keep the same promises."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from domain.ports.graph import PushLimit
from domain.settings import Settings
from domain.threshold import Move, Why, WriterLoad
from stores import migrate
from stores.memory.postgres import MemoryPushLimit
from stores.postgres_pool import PostgresPool
from stores.postgres_push_limit import PostgresPushLimit
from tests.databases import new_database


@pytest.fixture(params=["memory", "postgres"])
async def limit(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[PushLimit]:
    if request.param == "memory":
        yield MemoryPushLimit()
        return
    with new_database(settings) as dsn:  # there is one threshold a database
        await migrate.migrate_postgres(dsn)
        pool = PostgresPool(dsn)
        yield PostgresPushLimit(pool)
        await pool.close()


class Decider:
    """Remembers what it was asked, and adds one."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, list[WriterLoad]]] = []

    def __call__(self, current: int | None, loads: Sequence[WriterLoad]) -> Move:
        self.asked.append((current, list(loads)))
        return Move((current or 0) + 1, Why.ROOM)


async def test_a_step_sees_where_it_is_and_the_newest_loads(limit: PushLimit) -> None:
    decide = Decider()
    assert await limit.followers() is None
    await limit.report("b", WriterLoad(9.0, 0.5), 1_000)
    await limit.report("b", WriterLoad(0.25, None), 1_001)
    await limit.report("a", WriterLoad(2.0, 0.001), 1_002)
    assert await limit.step(1_000, 1_003, decide) == Move(1, Why.ROOM)
    assert await limit.followers() == 1
    await limit.step(1_003, 1_004, decide)
    assert decide.asked == [(None, [WriterLoad(2.0, 0.001), WriterLoad(0.25, None)]), (1, [])]


async def test_of_many_that_ask_one_steps(limit: PushLimit) -> None:
    decide = Decider()
    moves = await asyncio.gather(*(limit.step(1_000, 2_000, decide) for _ in range(4)))
    assert sorted(move is None for move in moves) == [False, True, True, True]
    assert await limit.step(1_999, 2_500, decide) is None
    assert await limit.step(2_000, 3_000, decide) == Move(2, Why.ROOM)


async def test_who_looks_and_moves_nothing_holds_up_nobody(limit: PushLimit) -> None:
    """Posts that come late just after a look aren't late for a whole step more."""

    def stay(current: int | None, _loads: Sequence[WriterLoad]) -> Move:
        return Move(current or 9, Why.STEADY)

    for now in (2_000, 2_001):
        assert await limit.step(1_000, now, stay) == Move(9, Why.STEADY)
    assert await limit.followers() == 9
    assert await limit.step(1_000, 2_002, Decider()) == Move(10, Why.ROOM)
    assert await limit.step(2_001, 2_003, stay) is None


async def test_a_decision_that_fails_moves_nothing(limit: PushLimit) -> None:
    def fail(_current: int | None, _loads: Sequence[WriterLoad]) -> Move:
        raise ZeroDivisionError

    await limit.step(1_000, 2_000, Decider())
    with pytest.raises(ZeroDivisionError):
        await limit.step(2_000, 3_000, fail)
    assert await limit.followers() == 1
