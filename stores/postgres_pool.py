"""PostgreSQL connections: a pool that opens at its first use, and whose every wait has a limit."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import AsyncRowFactory, TupleRow, tuple_row
from psycopg_pool import AsyncConnectionPool

from domain.errors import StoreAway
from stores.postgres_errors import translated

T = TypeVar("T")
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # our StoreAway says it once

POOL_SIZE = 8
WAIT_S = 4.0
CALL_LIMIT_S = 10.0
"""Above the server's own statement_timeout: for a server that has stopped answering altogether."""

CONNECT: dict[str, Any] = {
    "autocommit": True,
    "connect_timeout": 3,
    "tcp_user_timeout": 10_000,
    "options": "-c statement_timeout=5s -c lock_timeout=3s"
    " -c idle_in_transaction_session_timeout=60s",
}
"""How every connection of the application is made."""


class PostgresPool:
    """Runs statements; raises Transient or StoreAway as `translated` says."""

    def __init__(self, dsn: str) -> None:
        self._pool = AsyncConnectionPool(
            dsn,
            open=False,
            min_size=0,  # with a standing minimum, attempts would back off up to minutes
            max_size=POOL_SIZE,
            timeout=WAIT_S,
            reconnect_timeout=2.0,
            kwargs=CONNECT,
        )
        self._opening = asyncio.Lock()

    async def rows(
        self, query: LiteralString, args: Sequence[object], make: AsyncRowFactory[T]
    ) -> list[T]:
        """All rows of one statement, committed at once; `make` says as what."""
        async with self._connection() as connection:
            cursor = connection.cursor(row_factory=make)
            await cursor.execute(query, args)
            return await cursor.fetchall()

    async def row(
        self, query: LiteralString, args: Sequence[object], make: AsyncRowFactory[T]
    ) -> T | None:
        """The first row of one statement, or None."""
        found = await self.rows(query, args, make)
        return found[0] if found else None

    async def tuples(self, query: LiteralString, args: Sequence[object] = ()) -> list[TupleRow]:
        """All rows of one statement, as plain tuples."""
        return await self.rows(query, args, tuple_row)

    async def run(self, query: LiteralString, args: Sequence[object] = ()) -> int:
        """Run one statement that returns nothing; the number of rows it touched."""
        async with self._connection() as connection:
            return (await connection.execute(query, args)).rowcount

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """A connection inside a transaction: committed at the end, rolled back on an exception."""
        async with self._connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        await self._open()
        try:
            with translated():
                async with asyncio.timeout(CALL_LIMIT_S), self._pool.connection() as connection:
                    yield connection
        except StoreAway:
            await self._forget_broken()
            raise

    async def _open(self) -> None:
        async with self._opening:
            if self._pool.closed:
                await self._pool.open(wait=False)

    async def _forget_broken(self) -> None:
        """One connection broke, so the idle ones did too: else each would fail one more caller."""
        with translated():
            async with asyncio.timeout(WAIT_S):
                await self._pool.check()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close(timeout=WAIT_S)
