"""Ports: signed calls to whoever asked to be told."""

from collections.abc import Mapping
from typing import Protocol

from domain.webhooks import Target, Webhook


class Webhooks(Protocol):
    """Users' webhooks; a user has one at most."""

    async def put(self, hook: Webhook) -> bool:
        """Set it, in place of a former one; False when there is no such account."""

    async def get(self, user_id: str) -> Webhook | None:
        """The webhook, or None."""

    async def note(self, hook: Webhook) -> None:
        """Keep how its calls went, unless it was set anew since."""

    async def drop(self, user_id: str) -> None:
        """Forget it; absent is fine."""


class WebhookCalls(Protocol):
    """The way out to receivers on the public Internet."""

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> int:
        """Call once; the status of the answer. Raises CallFailed, within the time limit."""
