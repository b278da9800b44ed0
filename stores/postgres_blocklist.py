"""The blocklist in PostgreSQL: perceptual hashes, and the version that every change raises."""

from collections.abc import AsyncIterator, Sequence

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from domain.hash_index import HASH_BYTES
from domain.moderation import BlockedHash
from stores.postgres_pool import PostgresPool

_CHUNK = 20_000


class PostgresBlocklist:
    """Blocklist (domain/ports/) over the tables `blocked_hashes` and `blocklist_version`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def version(self) -> int:
        """Changes with every change of the list."""
        [[version]] = await self._pool.tuples("SELECT version FROM blocklist_version")
        return int(version)

    async def hashes(self) -> AsyncIterator[bytes]:
        """All hashes, 32 bytes each, many joined at a time."""
        last = b""
        while True:
            [[joined]] = await self._pool.tuples(
                """SELECT string_agg(hash, ''::bytea ORDER BY hash)
                   FROM (SELECT hash FROM blocked_hashes WHERE hash > %s
                         ORDER BY hash LIMIT %s) AS chunk""",
                (last, _CHUNK),
            )
            if joined is None:
                return
            yield joined
            last = joined[-HASH_BYTES:]

    async def add(self, entries: Sequence[BlockedHash]) -> int:
        """Add entries; one that is there stays as it is. How many were new."""
        async with self._pool.transaction() as connection:
            added = 0
            for start in range(0, len(entries), _CHUNK):
                part = entries[start : start + _CHUNK]
                cursor = await connection.execute(
                    """INSERT INTO blocked_hashes
                       SELECT * FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::bigint[])
                       ON CONFLICT DO NOTHING""",
                    (
                        [bytes.fromhex(each.hash) for each in part],
                        [each.source for each in part],
                        [each.reason for each in part],
                        [each.added_at for each in part],
                    ),
                )
                added += cursor.rowcount
            await _raise_version(connection)
        return added

    async def remove(self, phash: str) -> bool:
        """Take one entry off; False when it wasn't there."""
        async with self._pool.transaction() as connection:
            cursor = await connection.execute(
                "DELETE FROM blocked_hashes WHERE hash = %s", (bytes.fromhex(phash),)
            )
            await _raise_version(connection)
        return cursor.rowcount == 1

    async def page(self, after: str, limit: int) -> list[BlockedHash]:
        """Entries in the order of their hashes, strictly after one ("" is the start)."""
        rows = await self._pool.tuples(
            """SELECT encode(hash, 'hex'), source, reason, added_at FROM blocked_hashes
               WHERE hash > %s ORDER BY hash LIMIT %s""",
            (bytes.fromhex(after), limit),
        )
        return [BlockedHash(*row) for row in rows]

    async def count(self) -> int:
        """How many entries there are."""
        [[count]] = await self._pool.tuples("SELECT count(*) FROM blocked_hashes")
        return int(count)


async def _raise_version(connection: AsyncConnection[TupleRow]) -> None:
    await connection.execute("UPDATE blocklist_version SET version = version + 1")
