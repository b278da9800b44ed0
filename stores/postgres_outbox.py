"""The transactional outbox in PostgreSQL: what was committed with its cause and awaits Kafka."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from domain.entities import OutboxRow
from schemas.events import Event
from stores.postgres_errors import translated
from stores.postgres_pool import CALL_LIMIT_S, CONNECT
from topics.topic import Topic

E = TypeVar("E", bound=Event)

APPLICATION = "photofeed outbox"
"""How the server's pg_stat_activity names this connection."""

Publish = Callable[[Sequence[OutboxRow]], Awaitable[None]]
DRAIN_LIMIT_S = 45.0
"""Under the server's idle_in_transaction_session_timeout, above Kafka's delivery limit."""


class PostgresOutbox:
    """Outbox (domain/ports/) over the table `outbox`, on one connection that listens too."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: AsyncConnection[TupleRow] | None = None

    async def drain(self, publish: Publish, limit: int) -> int:
        """Publish up to `limit` rows, oldest first, then delete them; how many.

        Asks for what is there, never for ids above the last one: a row whose transaction commits
        late has a lower id than rows already relayed. A crash before the commit only repeats.
        """
        async with self._session(DRAIN_LIMIT_S) as connection, connection.transaction():
            cursor = await connection.execute(
                """SELECT id, topic, key, payload, headers FROM outbox
                   ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED""",
                (limit,),
            )
            rows = [_row(*fields) for fields in await cursor.fetchall()]
            if rows:
                await publish(rows)
                await connection.execute(
                    "DELETE FROM outbox WHERE id = ANY(%s)", ([row.row_id for row in rows],)
                )
        return len(rows)

    async def wait(self, timeout_s: float) -> None:
        """Return when something was enqueued, at the latest after `timeout_s`."""
        async with self._session(timeout_s + CALL_LIMIT_S) as connection:
            async for _ in connection.notifies(timeout=timeout_s, stop_after=1):
                pass

    async def depth(self) -> tuple[int, float]:
        """How many rows wait, up to 10,000, and the oldest one's age in seconds (0 for none)."""
        async with self._session(CALL_LIMIT_S) as connection:
            cursor = await connection.execute(
                """SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float
                   FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 10000) AS waiting"""
            )
            ((count, age),) = await cursor.fetchall()
        return count, max(0.0, age)

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    @asynccontextmanager
    async def _session(self, limit_s: float) -> AsyncIterator[AsyncConnection[TupleRow]]:
        with translated():
            async with asyncio.timeout(limit_s):
                if self._connection is None or self._connection.closed:
                    self._connection = await self._connect()
                try:
                    yield self._connection
                except (asyncio.CancelledError, psycopg.Error):
                    await self.close()  # in the middle of something: not to be used again
                    raise

    async def _connect(self) -> AsyncConnection[TupleRow]:
        connection = await AsyncConnection.connect(
            self._dsn, application_name=APPLICATION, **CONNECT
        )
        await connection.execute("LISTEN outbox")
        return connection


async def enqueue(
    connection: AsyncConnection[TupleRow],
    topic: Topic[E],
    event: E,
    traceparent: str | None = None,
) -> None:
    """Have `event` published once the transaction that `connection` is in commits."""
    await connection.execute(
        """WITH row AS (INSERT INTO outbox (topic, key, payload, headers)
                        VALUES (%s, %s, %s, %s) RETURNING id)
           SELECT pg_notify('outbox', '') FROM row""",
        (
            topic.name,
            topic.key_of(event),
            topic.codec.encode(event),
            Jsonb({"traceparent": traceparent} if traceparent else {}),
        ),
    )


def _row(row_id: int, topic: str, key: bytes, payload: bytes, headers: dict[str, str]) -> OutboxRow:
    pairs = tuple((name, value.encode()) for name, value in headers.items())
    return OutboxRow(row_id, topic, key, payload, pairs)
