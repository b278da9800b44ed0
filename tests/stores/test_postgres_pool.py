"""The PostgreSQL pool: what goes wrong is named, every wait ends, and it mends itself."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from domain.errors import Reason, StoreAway, Transient, Unrecoverable
from domain.settings import Settings
from stores.postgres_pool import PostgresPool
from tests.databases import new_database


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[PostgresPool]:
    with new_database(settings) as dsn:
        opened = PostgresPool(dsn)
        yield opened
        await opened.close()


async def test_after_a_cut_one_call_fails_and_the_rest_work(pool: PostgresPool) -> None:
    await asyncio.gather(*(pool.tuples("SELECT pg_sleep(0.05)") for _ in range(8)))
    await pool.run(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )
    failures = 0
    for _ in range(20):
        try:
            assert await pool.tuples("SELECT 1") == [(1,)]
        except StoreAway:
            failures += 1
    assert failures <= 1


async def test_a_server_that_is_away_is_store_away_in_bounded_time() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        pool = PostgresPool(f"postgresql://photofeed@127.0.0.1:{unused.getsockname()[1]}/none")
        async with asyncio.timeout(15):
            with pytest.raises(StoreAway):
                await pool.tuples("SELECT 1")
        await pool.close()


async def test_a_server_that_says_nothing_is_store_away_in_bounded_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        pool = PostgresPool(f"postgresql://photofeed@127.0.0.1:{silent.getsockname()[1]}/none")
        async with asyncio.timeout(20):
            with pytest.raises(StoreAway):
                await pool.tuples("SELECT 1")
        await pool.close()


async def test_a_statement_that_takes_too_long_is_transient(pool: PostgresPool) -> None:
    async def sleep() -> None:
        async with pool.transaction() as connection:
            await connection.execute("SET LOCAL statement_timeout = '50ms'")
            await connection.execute("SELECT pg_sleep(5)")

    with pytest.raises(Transient) as raised:
        await sleep()
    assert not isinstance(raised.value, StoreAway)


async def test_a_conflict_of_transactions_is_transient(pool: PostgresPool) -> None:
    await pool.run("CREATE TABLE IF NOT EXISTS conflicts (id int PRIMARY KEY, n int)")
    await pool.run("INSERT INTO conflicts VALUES (1, 0) ON CONFLICT DO NOTHING")

    async def serially() -> None:
        async with pool.transaction() as connection:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            await connection.execute("SELECT n FROM conflicts WHERE id = 1")
            await asyncio.sleep(0.1)
            await connection.execute("UPDATE conflicts SET n = n + 1 WHERE id = 1")

    outcomes = await asyncio.gather(serially(), serially(), return_exceptions=True)
    failed = [each for each in outcomes if each is not None]
    assert [(type(each), isinstance(each, StoreAway)) for each in failed] == [(Transient, False)]


async def test_an_exception_rolls_back(pool: PostgresPool) -> None:
    await pool.run("CREATE TABLE IF NOT EXISTS undone (id int)")

    async def fail() -> None:
        async with pool.transaction() as connection:
            await connection.execute("INSERT INTO undone VALUES (1)")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert await pool.tuples("SELECT * FROM undone") == []


async def test_more_callers_than_connections_all_get_their_turn(pool: PostgresPool) -> None:
    calls = [pool.tuples("SELECT pg_sleep(0.02), %s::int", (number,)) for number in range(60)]
    found = await asyncio.gather(*calls)
    assert [rows[0][1] for rows in found] == list(range(60))


async def test_a_caller_who_gives_up_leaves_a_working_pool(pool: PostgresPool) -> None:
    calls = [asyncio.ensure_future(pool.tuples("SELECT pg_sleep(2)")) for _ in range(8)]
    await asyncio.sleep(0.2)
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(5):
        assert await pool.tuples("SELECT 1") == [(1,)]


@pytest.mark.parametrize("value", ["a\0b", 2**70])
async def test_a_value_that_no_column_holds_is_unrecoverable(
    pool: PostgresPool, value: object
) -> None:
    with pytest.raises(Unrecoverable) as raised:
        await pool.tuples("SELECT %s::text::bigint", (value,))
    assert raised.value.reason is Reason.INVALID_EVENT
