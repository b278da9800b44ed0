"""post.published, photo.rejected → the author's webhook.

At least once: a redelivered event is called again with the same webhook-id. A failed call goes
through the retry topic until it is too old; a receiver that fails again and again rests for a
while, so that it doesn't hold up the others of its partition.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from domain.errors import Transient
from domain.ports.webhooks import WebhookCalls, Webhooks
from domain.settings import Webhooks as Policy
from domain.webhooks import GONE, GONE_REASON, CallFailed, Webhook, payload, signed, target
from schemas.events import PhotoRejected, PostPublished
from streams.runtime.stage import Emit

Told = PostPublished | PhotoRejected
_GOOD = range(200, 300)
log = structlog.get_logger()


def unix_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class DeliverWebhooks:
    """The handler of both."""

    def __init__(
        self,
        hooks: Webhooks,
        calls: WebhookCalls,
        edge_base: str,
        policy: Policy,
        clock: Callable[[], int] = unix_ms,
    ) -> None:
        self._hooks = hooks
        self._calls = calls
        self._edge = edge_base
        self._policy = policy
        self._clock = clock

    async def __call__(self, event: Told) -> Sequence[Emit]:
        """Call, if there is anybody to call. Raises Transient when it is worth another try."""
        hook = await self._hooks.get(event.user_id)
        if hook is None or hook.disabled_at is not None:
            return ()
        if not hook.rests(self._clock(), self._policy):
            hook = await self._tried(hook, event)
        if not hook.failures:
            return ()
        if hook.disabled_at is not None:
            log.warning("webhook.disabled", error=hook.failure)
        elif self._clock() - event.occurred_at < self._policy.give_up_s * 1000:
            raise Transient(f"webhook: {hook.failure}")
        return ()

    async def _tried(self, hook: Webhook, event: Told) -> Webhook:
        """The webhook after a call, kept when that changed anything."""
        try:
            await self._call(hook, event)
            after = hook.succeeded()
        except CallFailed as failure:
            after = hook.failed(str(failure), self._clock(), self._policy.disable_after_s)
        if after != hook:
            await self._hooks.note(after)
        return after

    async def _call(self, hook: Webhook, event: Told) -> None:
        """Raises CallFailed unless it was answered with success."""
        try:
            where = target(hook.url, loopback=self._policy.allow_loopback_http)
        except ValueError as error:  # the rules are stricter than when it was set
            raise CallFailed(f"the URL {error}") from None
        body = payload(event, self._edge)
        headers = signed(hook.secret, event.event_id, self._clock() // 1000, body)
        status = await self._calls.post(where, headers, body)
        if status == GONE:
            raise CallFailed(GONE_REASON)
        if status not in _GOOD:
            raise CallFailed(f"the receiver answered {status}")
