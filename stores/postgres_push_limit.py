"""The adaptive threshold and what it follows from, in PostgreSQL."""

from collections.abc import Callable, Sequence

from domain.threshold import Move, Why, WriterLoad
from stores.postgres_pool import PostgresPool


class PostgresPushLimit:
    """PushLimit (domain/ports/) over `push_limit` and `writer_loads`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def report(self, writer: str, load: WriterLoad, now: int) -> None:
        """Keep what a writer measured last."""
        await self._pool.run(
            "INSERT INTO writer_loads VALUES (%s, %s, %s, %s) ON CONFLICT (writer) DO UPDATE"
            " SET lag_s = excluded.lag_s, write_s = excluded.write_s,"
            " reported_at = excluded.reported_at",
            (writer, load.lag_s, load.write_s, now),
        )

    async def step(
        self,
        since: int,
        now: int,
        decide: Callable[[int | None, Sequence[WriterLoad]], Move],
    ) -> Move | None:
        """Move the threshold, unless it was moved since; the others wait for the row."""
        async with self._pool.transaction() as connection:
            await connection.execute(
                "INSERT INTO push_limit (followers, stepped_at) VALUES (0, 0)"
                " ON CONFLICT DO NOTHING"
            )
            cursor = await connection.execute(
                "SELECT followers, stepped_at FROM push_limit WHERE stepped_at <= %s FOR UPDATE",
                (since,),
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            await connection.execute("DELETE FROM writer_loads WHERE reported_at <= %s", (since,))
            cursor = await connection.execute(
                "SELECT lag_s, write_s FROM writer_loads ORDER BY writer"
            )
            loads = [WriterLoad(lag_s, write_s) for lag_s, write_s in await cursor.fetchall()]
            move = decide(row[0] or None, loads)
            await connection.execute(
                "UPDATE push_limit SET followers = %s, stepped_at = %s",
                (move.followers, row[1] if move.why is Why.STEADY else now),
            )
            return move

    async def followers(self) -> int | None:
        """Where the threshold is, None before the first step."""
        found = await self._pool.tuples("SELECT followers FROM push_limit")
        return int(found[0][0]) if found else None
