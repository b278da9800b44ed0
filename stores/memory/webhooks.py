"""Twin of the webhooks' adapter."""

from domain.webhooks import Webhook


class MemoryWebhooks:
    """Twin of PostgresWebhooks; every account exists."""

    def __init__(self) -> None:
        self._hooks: dict[str, Webhook] = {}

    async def put(self, hook: Webhook) -> bool:
        """Set it, in place of a former one."""
        self._hooks[hook.user_id] = hook.succeeded()
        return True

    async def get(self, user_id: str) -> Webhook | None:
        """The webhook, or None."""
        return self._hooks.get(user_id)

    async def note(self, hook: Webhook) -> None:
        """Keep how its calls went, unless it was set anew since."""
        known = self._hooks.get(hook.user_id)
        if known is not None and known.set_at == hook.set_at:
            self._hooks[hook.user_id] = hook

    async def drop(self, user_id: str) -> None:
        """Forget it; absent is fine."""
        self._hooks.pop(user_id, None)
