"""Idempotency-Key on unsafe calls (contract, section 2): the first answer again, durably.

A call that ended in 5xx, or was refused before it did anything, leaves no trace: it may be tried
again under its key. Where a repeated call would make a second thing, `same_id` gives it the id the
first one used, so even a call cut off by a crash happens at most once.
"""

import hashlib
import hmac
import re

import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deps import Deps
from api.front.admission import UNSAFE
from api.problems import KEY_IN_USE, KEY_REUSED, MEDIA_TYPE, Problem, invalid
from domain.errors import Transient

_HEADER = "idempotency-key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_REGISTRATION = "/users"
_NEVER_KEPT = "/auth/token"
_NOT_ANSWERS = frozenset({401, 408, 429})
_FIRST_ERROR = 400
_FIRST_FAILURE = 500
_RESERVED = " id"  # no key of a client holds a space
_log = structlog.get_logger()


class Idempotency:
    """Answers a repeated call with what the first one was answered."""

    def __init__(self, app: ASGIApp, deps: Deps) -> None:
        self._app = app
        self._deps = deps
        self._secret = deps.stores.secrets.jwt_key.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from the store, or run the call and keep its answer."""
        owner = _owner(scope)
        key = Headers(scope=scope).get(_HEADER) if owner else None
        if owner is None or key is None:
            await self._app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            raise invalid(_HEADER, "1 to 255 visible ASCII characters", "header")
        scope["state"]["idempotency"] = (owner, key)
        fingerprint = self._fingerprint(scope)
        stored = await self._deps.stores.idempotency.begin(owner, key, fingerprint)
        if stored is None:
            await self._first(scope, receive, send)
            return
        if stored.fingerprint != fingerprint:
            raise Problem(KEY_REUSED)
        if stored.status == 0:
            raise Problem(KEY_IN_USE, headers={"Retry-After": "1"})
        again = _response(stored.status, stored.body)
        await again(scope, receive, send)

    async def _first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the call; keep the answer before anybody sees it."""
        owner, key = scope["state"]["idempotency"]
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        try:
            await self._app(scope, receive, collect)
        except Exception:
            await self._release(owner, key)
            raise
        status = messages[0]["status"]
        if status >= _FIRST_FAILURE or status in _NOT_ANSWERS:
            await self._release(owner, key)
        else:
            body = b"".join(message.get("body", b"") for message in messages[1:])
            await self._keep(owner, key, status, body)
        for message in messages:
            await send(message)

    async def _keep(self, owner: str, key: str, status: int, body: bytes) -> None:
        """What was done is done: if its answer can't be kept, it is still the answer."""
        try:
            await self._deps.stores.idempotency.finish(owner, key, status, body)
        except Transient as error:
            _log.warning("idempotency.not_kept", error=str(error))

    async def _release(self, owner: str, key: str) -> None:
        """Forget the claim; when that fails too it runs out by itself."""
        try:
            await self._deps.stores.idempotency.release(owner, key)
        except Transient as error:
            _log.warning("idempotency.not_released", error=str(error))

    def _fingerprint(self, scope: Scope) -> str:
        """Of method, path, query and body; keyed, because a body may hold a password."""
        parts = (scope["method"].encode(), scope["raw_path"], scope["query_string"])
        digest = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in (*parts, scope["state"]["body"]):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()


async def same_id(deps: Deps, request: Request, prefix: str) -> str:
    """A new id, the same one for every try under one Idempotency-Key. Raises Transient."""
    fresh = deps.stores.ids.next_id(prefix)
    owner, key = getattr(request.state, "idempotency", (None, None))
    if owner is None:
        return fresh
    keys = deps.stores.idempotency
    reserved = f"{key}{_RESERVED}"
    stored = await keys.begin(owner, reserved, _RESERVED)
    if stored is None or stored.status == 0:
        await keys.finish(owner, reserved, 1, fresh.encode())  # the first to finish stays
        stored = await keys.begin(owner, reserved, _RESERVED)
    return stored.body.decode() if stored else fresh


def _owner(scope: Scope) -> str | None:
    """Whose keys these are: the caller's, or the address's that registers. None: no keys here."""
    if scope["type"] != "http" or scope["method"] not in UNSAFE or scope["path"] == _NEVER_KEPT:
        return None  # a token is a secret: it is never stored, and asking twice does no harm
    viewer: str | None = scope["state"]["viewer"]
    if viewer is None and scope["path"] == _REGISTRATION:
        return f"ip:{scope['state']['ip']}"
    return viewer


def _response(status: int, body: bytes) -> Response:
    kind = MEDIA_TYPE if status >= _FIRST_ERROR else "application/json"
    return Response(
        body,
        status_code=status,
        media_type=kind if body else None,
        headers={"Idempotency-Replayed": "true"},
    )
