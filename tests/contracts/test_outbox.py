"""Outbox: the twin and PostgreSQL keep the same promises; what PostgreSQL alone can get wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psycopg
import pytest

from domain.entities import OutboxRow
from domain.errors import StoreAway
from domain.ports.log import Outbox
from stores.memory.graph import MemoryOutbox
from stores.postgres_outbox import APPLICATION, PostgresOutbox
from stores.postgres_pool import PostgresPool

_INSERT = "INSERT INTO outbox (topic, key, payload, headers) VALUES ('t', %s, '', '{\"a\": \"1\"}')"


@dataclass
class Queue:
    """The adapter under test, a way to enqueue, and what was published."""

    outbox: Outbox
    put: Callable[[bytes], Awaitable[None]]
    published: list[OutboxRow] = field(default_factory=list)

    async def publish(self, rows: Sequence[OutboxRow]) -> None:
        """Kafka, as far as these tests care."""
        self.published.extend(rows)

    def keys(self) -> list[bytes]:
        """The keys of what was published."""
        return [row.key for row in self.published]


@pytest.fixture(params=["memory", "postgres"])
async def queue(
    request: pytest.FixtureRequest, postgres: PostgresPool, postgres_dsn: str
) -> AsyncIterator[Queue]:
    if request.param == "memory":
        twin = MemoryOutbox()

        async def keep(key: bytes) -> None:
            twin.put("t", key, b"", [("a", b"1")])

        yield Queue(twin, keep)
        return
    await postgres.run("DELETE FROM outbox")
    outbox = PostgresOutbox(postgres_dsn)

    async def insert(key: bytes) -> None:
        await postgres.run(f"{_INSERT} RETURNING pg_notify('outbox', '')", (key,))

    yield Queue(outbox, insert)
    await outbox.close()


async def test_rows_leave_in_their_order_and_once(queue: Queue) -> None:
    for key in (b"1", b"2", b"3"):
        await queue.put(key)
    assert await queue.outbox.drain(queue.publish, 2) == 2
    assert await queue.outbox.drain(queue.publish, 2) == 1
    assert await queue.outbox.drain(queue.publish, 2) == 0
    assert queue.keys() == [b"1", b"2", b"3"]
    assert queue.published[0].headers == (("a", b"1"),)


async def test_what_could_not_be_published_stays(queue: Queue) -> None:
    await queue.put(b"1")

    async def fail(_: Sequence[OutboxRow]) -> None:
        raise StoreAway("kafka: gone")

    with pytest.raises(StoreAway):
        await queue.outbox.drain(fail, 10)
    assert await queue.outbox.drain(queue.publish, 10) == 1
    assert queue.keys() == [b"1"]


async def test_a_wait_ends_with_the_next_row(queue: Queue) -> None:
    await queue.outbox.drain(queue.publish, 10)
    await queue.outbox.wait(0.05)
    async with asyncio.timeout(3):
        waiting = asyncio.create_task(queue.outbox.wait(10))
        await asyncio.sleep(0.05)
        await queue.put(b"1")
        await waiting


async def test_the_depth_is_number_and_age(queue: Queue) -> None:
    assert await queue.outbox.depth() == (0, 0.0)
    await queue.put(b"1")
    await asyncio.sleep(0.02)
    await queue.put(b"2")
    rows, age_s = await queue.outbox.depth()
    assert rows == 2
    assert 0.02 <= age_s < 5


async def test_a_row_that_commits_late_is_seen_though_its_id_is_lower(
    postgres_dsn: str, postgres: PostgresPool
) -> None:
    await postgres.run("DELETE FROM outbox")
    outbox = PostgresOutbox(postgres_dsn)
    seen: list[OutboxRow] = []

    async def publish(rows: Sequence[OutboxRow]) -> None:
        seen.extend(rows)

    async with await psycopg.AsyncConnection.connect(postgres_dsn) as slow:
        await slow.execute(_INSERT, (b"slow",))
        await postgres.run(_INSERT, (b"fast",))
        assert await outbox.drain(publish, 10) == 1
        await slow.commit()
    assert await outbox.drain(publish, 10) == 1
    assert [row.key for row in seen] == [b"fast", b"slow"]
    assert seen[1].row_id < seen[0].row_id
    await outbox.close()


async def test_two_drains_at_once_share_the_rows(postgres_dsn: str, postgres: PostgresPool) -> None:
    await postgres.run("DELETE FROM outbox")
    for number in range(6):
        await postgres.run(_INSERT, (str(number).encode(),))
    first, second = PostgresOutbox(postgres_dsn), PostgresOutbox(postgres_dsn)
    seen: list[bytes] = []

    async def slowly(rows: Sequence[OutboxRow]) -> None:
        await asyncio.sleep(0.2)
        seen.extend(row.key for row in rows)

    moved = await asyncio.gather(first.drain(slowly, 3), second.drain(slowly, 3))
    assert list(moved) == [3, 3]
    assert sorted(seen) == [b"0", b"1", b"2", b"3", b"4", b"5"]
    await first.close()
    await second.close()


async def test_a_cut_connection_is_store_away_once_and_then_made_anew(
    postgres_dsn: str, postgres: PostgresPool
) -> None:
    outbox = PostgresOutbox(postgres_dsn)
    await outbox.depth()
    await postgres.run(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = %s""",
        (APPLICATION,),
    )
    with pytest.raises(StoreAway):
        await outbox.depth()
    await outbox.depth()
    await outbox.close()
