"""Machine ids of the id generators, leased in PostgreSQL (seed section 9, I12)."""

from domain.errors import Transient
from stores.postgres_pool import PostgresPool


class PostgresMachineLeases:
    """MachineLeases (domain/ports/) over the table `machine_leases`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def acquire(self, holder: str, ttl_s: float, use_until: int) -> tuple[int, int]:
        """A free machine id (0..1023) and the last millisecond that a former holder was granted.

        The holder may make ids for the milliseconds between that one and `use_until`. Of the free
        ids it is the one longest unused, so nobody waits for a range to pass. Not the same id when
        repeated. Raises Transient when all are leased.
        """
        found = await self._pool.tuples(
            """WITH free AS (
                   SELECT machine_id, used_until FROM machine_leases
                   WHERE expires_at < clock_timestamp()
                   ORDER BY used_until, machine_id LIMIT 1 FOR UPDATE SKIP LOCKED)
               UPDATE machine_leases AS lease
               SET holder = %s, expires_at = clock_timestamp() + %s * interval '1 second',
                   used_until = greatest(lease.used_until, %s)
               FROM free WHERE lease.machine_id = free.machine_id
               RETURNING lease.machine_id, free.used_until""",
            (holder, ttl_s, use_until),
        )
        if not found:
            raise Transient("every machine id is leased")
        machine_id, used_until = found[0]
        return machine_id, used_until

    async def renew(self, machine_id: int, holder: str, ttl_s: float, use_until: int) -> bool:
        """Extend the lease and the granted range; False when it is no longer the holder's."""
        renewed = await self._pool.run(
            """UPDATE machine_leases
               SET expires_at = clock_timestamp() + %s * interval '1 second',
                   used_until = greatest(used_until, %s)
               WHERE machine_id = %s AND holder = %s""",
            (ttl_s, use_until, machine_id, holder),
        )
        return renewed == 1

    async def release(self, machine_id: int, holder: str, used_until: int) -> None:
        """Give the id back, remembering the last millisecond it was really used for."""
        await self._pool.run(
            """UPDATE machine_leases
               SET holder = NULL, expires_at = '-infinity', used_until = %s
               WHERE machine_id = %s AND holder = %s""",
            (used_until, machine_id, holder),
        )
