"""The viewer's webhook: signed calls when a photo is published or rejected, instead of polling."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, BaseModel, SecretStr

from api.deps import Api, Viewer
from api.problems import UNAUTHENTICATED, Problem, invalid, not_found
from api.wire import Body
from domain.post_json import rfc3339
from domain.webhooks import Webhook, signing_key, target

router = APIRouter(tags=["webhooks"])


def _usable(secret: SecretStr) -> SecretStr:
    """Raises ValueError when nothing could be signed with it."""
    signing_key(secret.get_secret_value())
    return secret


class NewWebhook(Body):
    """Where to call, and what to sign with: 16 to 256 visible ASCII characters, or `whsec_…`."""

    url: str
    secret: Annotated[SecretStr, AfterValidator(_usable)]


class Failure(BaseModel):
    """Why the last calls failed; `calls` of them in a row."""

    reason: str
    at: str
    since: str
    calls: int


class ShownWebhook(BaseModel):
    """The webhook without its secret. `disabled_at`: it isn't called any more; set it anew."""

    url: str
    set_at: str
    failing: Failure | None
    disabled_at: str | None


@router.put("/users/me/webhook")
async def put_webhook(api: Api, viewer: Viewer, new: NewWebhook) -> ShownWebhook:
    """Set the webhook, in place of a former one; a disabled one is enabled by it."""
    try:
        where = target(new.url, loopback=api.settings.webhooks.allow_loopback_http)
    except ValueError as error:
        raise invalid("url", str(error)) from None
    hook = Webhook(viewer, where.url, new.secret.get_secret_value(), api.now_ms())
    if not await api.stores.webhooks.put(hook):
        raise Problem(UNAUTHENTICATED, "the account is gone")
    return _shown(hook)


@router.get("/users/me/webhook")
async def get_webhook(api: Api, viewer: Viewer) -> ShownWebhook:
    """The webhook, and how its last calls went."""
    hook = await api.stores.webhooks.get(viewer)
    if hook is None:
        raise not_found("webhook")
    return _shown(hook)


@router.delete("/users/me/webhook", status_code=204)
async def delete_webhook(api: Api, viewer: Viewer) -> Response:
    """Take the webhook away; what is under way may still arrive."""
    await api.stores.webhooks.drop(viewer)
    return Response(status_code=204)


def _shown(hook: Webhook) -> ShownWebhook:
    failing = None
    if hook.failure is not None and hook.failed_at is not None:
        since = hook.failing_since or hook.failed_at
        failing = Failure(
            reason=hook.failure,
            at=rfc3339(hook.failed_at),
            since=rfc3339(since),
            calls=hook.failures,
        )
    disabled_at = None if hook.disabled_at is None else rfc3339(hook.disabled_at)
    return ShownWebhook(
        url=hook.url, set_at=rfc3339(hook.set_at), failing=failing, disabled_at=disabled_at
    )
