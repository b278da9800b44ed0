"""What operators decided about dead letters, in PostgreSQL."""

from collections.abc import Sequence
from typing import Literal

from stores.postgres_pool import PostgresPool

Decision = Literal["replayed", "discarded"]
Address = tuple[str, int, int]
"""Topic, partition and offset of a dead letter."""


class PostgresDeadLetters:
    """The table `dead_letter_decisions`. Raises Transient, StoreAway."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def decided(self) -> dict[Address, str]:
        """Every decision still kept."""
        rows = await self._pool.tuples(
            'SELECT topic, "partition", record_offset, decision FROM dead_letter_decisions'
        )
        return {(topic, partition, offset): decision for topic, partition, offset, decision in rows}

    async def decide(self, addresses: Sequence[Address], decision: Decision, why: str) -> None:
        """Remember a decision; the first one about a record stays.

        Decisions older than any dead letter can be (a week) are dropped on the way.
        """
        async with self._pool.transaction() as connection:
            await connection.execute(
                "DELETE FROM dead_letter_decisions WHERE decided_at < now() - interval '8 days'"
            )
            await connection.cursor().executemany(
                "INSERT INTO dead_letter_decisions VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                [(*address, decision, why) for address in addresses],
            )
