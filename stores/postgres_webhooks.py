"""Users' webhooks in PostgreSQL; their secrets are encrypted there."""

from domain.webhooks import Webhook
from stores.postgres_pool import PostgresPool
from stores.sealed import Seal


class PostgresWebhooks:
    """Webhooks (domain/ports/) over the table of that name."""

    def __init__(self, pool: PostgresPool, seal: Seal) -> None:
        self._pool = pool
        self._seal = seal

    async def put(self, hook: Webhook) -> bool:
        """Set it, in place of a former one; False when there is no such account."""
        stored = await self._pool.run(
            "INSERT INTO webhooks (user_id, url, secret, set_at)"
            " SELECT user_id, %s, %s, %s FROM users WHERE user_id = %s"
            " ON CONFLICT (user_id) DO UPDATE SET url = excluded.url, secret = excluded.secret,"
            " set_at = excluded.set_at, failures = 0, failing_since = NULL, failed_at = NULL,"
            " failure = NULL, disabled_at = NULL",
            (hook.url, self._seal.close(hook.secret, hook.user_id), hook.set_at, hook.user_id),
        )
        return stored == 1

    async def get(self, user_id: str) -> Webhook | None:
        """The webhook; none any more when its secret can't be read (the stack's key changed)."""
        found = await self._pool.tuples(
            "SELECT secret, url, set_at, failures, failing_since, failed_at, failure, disabled_at"
            " FROM webhooks WHERE user_id = %s",
            (user_id,),
        )
        for sealed, url, *rest in found:
            secret = self._seal.open(sealed, user_id)
            if secret is not None:
                return Webhook(user_id, url, secret, *rest)
        return None

    async def note(self, hook: Webhook) -> None:
        """Keep how its calls went, unless it was set anew since."""
        await self._pool.run(
            "UPDATE webhooks SET failures = %s, failing_since = %s, failed_at = %s, failure = %s,"
            " disabled_at = %s WHERE user_id = %s AND set_at = %s",
            (
                hook.failures,
                hook.failing_since,
                hook.failed_at,
                hook.failure,
                hook.disabled_at,
                hook.user_id,
                hook.set_at,
            ),
        )

    async def drop(self, user_id: str) -> None:
        """Forget it; absent is fine."""
        await self._pool.run("DELETE FROM webhooks WHERE user_id = %s", (user_id,))
