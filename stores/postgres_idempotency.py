"""First answers of unsafe calls in PostgreSQL (contract section 2)."""

import time
from dataclasses import dataclass

from psycopg.rows import class_row

from domain.errors import Transient
from stores.postgres_pool import PostgresPool

CLAIM_S = 30
"""How long a call may run before its claim counts as left behind by a process that died."""

KEEP_S = 24 * 3600
_PURGE_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What an Idempotency-Key was first answered with (StoredAnswer of domain/ports/)."""

    fingerprint: str
    status: int
    body: bytes


class PostgresIdempotencyKeys:
    """IdempotencyKeys (domain/ports/) over the table `idempotency_keys`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool
        self._purge_at = 0.0

    async def begin(self, user_id: str, key: str, fingerprint: str) -> Answer | None:
        """Claim the key, or give what is stored (`status` 0 while the first still runs).

        A claim that was neither finished nor released within CLAIM_S may be taken over.
        """
        await self._purge()
        claimed = await self._pool.tuples(
            """INSERT INTO idempotency_keys AS old (user_id, key, fingerprint, expires_at)
               VALUES (%s, %s, %s, now() + %s * interval '1 second')
               ON CONFLICT (user_id, key) DO UPDATE
               SET fingerprint = excluded.fingerprint, status = 0, body = '',
                   created_at = now(), expires_at = excluded.expires_at
               WHERE old.expires_at < now() RETURNING 1""",
            (user_id, key, fingerprint, CLAIM_S),
        )
        if claimed:
            return None
        found = await self._pool.row(
            """SELECT fingerprint, status, body FROM idempotency_keys
               WHERE user_id = %s AND key = %s""",
            (user_id, key),
            class_row(Answer),
        )
        if found is None:
            raise Transient("the claim was released this very moment")
        return found

    async def finish(self, user_id: str, key: str, status: int, body: bytes) -> None:
        """Keep the first answer for 24 h; a later one changes nothing."""
        await self._pool.run(
            """UPDATE idempotency_keys
               SET status = %s, body = %s, expires_at = now() + %s * interval '1 second'
               WHERE user_id = %s AND key = %s AND status = 0""",
            (status, body, KEEP_S, user_id, key),
        )

    async def release(self, user_id: str, key: str) -> None:
        """Forget a claim whose call failed, so that it may be tried again."""
        await self._pool.run(
            "DELETE FROM idempotency_keys WHERE user_id = %s AND key = %s AND status = 0",
            (user_id, key),
        )

    async def _purge(self) -> None:
        """Drop what has expired, at most once a minute."""
        if time.monotonic() < self._purge_at:
            return
        self._purge_at = time.monotonic() + _PURGE_EVERY_S
        await self._pool.run("DELETE FROM idempotency_keys WHERE expires_at < now()")
