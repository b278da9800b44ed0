"""What every call and every answer goes through, outermost first.

Envelope: request id, trace, security headers, metrics, the last resort.
Admission: body size, who calls, the limits that concern everything.
"""

import asyncio
import re
import time
import uuid
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits, metrics, trace
from api.auth import BadToken
from api.deps import Deps
from api.problems import INTERNAL, TIMED_OUT, TOO_LARGE, UNAUTHENTICATED, Problem, problem_of

CALL_LIMIT_S = 30.0
BODY_LIMIT_S = 10.0
MAX_BODY_BYTES = 65_536
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_DEFAULTS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
"""What an answer has unless its route says otherwise."""

_log = structlog.get_logger()


class Envelope:
    """Names the call, times it, and turns whatever escapes into a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        metrics.IN_FLIGHT.inc()
        try:
            async with asyncio.timeout(CALL_LIMIT_S):
                await self._app(scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing may escape as a traceback
            problem = problem_of(error)
            if problem.kind is INTERNAL:
                _log.exception("call.failed", request_id=answer.request_id, path=scope["path"])
            if answer.status == 0:
                await problem.response()(scope, receive, answer.send)
        finally:
            metrics.IN_FLIGHT.dec()
            answer.measure()


class _Answer:
    """One answer on its way out."""

    def __init__(self, scope: Scope, send: Send) -> None:
        sent = Headers(scope=scope)
        given = sent.get("x-request-id", "")
        self.request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        self.status = 0
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        state = scope.setdefault("state", {})
        state["traceparent"] = trace.continued(sent.get("traceparent"))

    async def send(self, message: Message) -> None:
        """Send on, the first message with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name for name, _ in message["headers"]}
            ours = [
                (b"x-request-id", self.request_id.encode()),
                *limits.headers(self._scope["state"]),
                *_DEFAULTS,
            ]
            extra = [header for header in ours if header[0] not in present]
            message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)

    def measure(self) -> None:
        """Count the call under its route's template."""
        route = getattr(self._scope.get("route"), "path", None) or "unmatched"
        seconds = time.perf_counter() - self._started
        metrics.answered(self._scope["method"], route, self.status or 500, seconds)


class Admission:
    """Reads small bodies whole, finds out who calls, applies the limits that concern all calls."""

    def __init__(self, app: ASGIApp, deps: Deps) -> None:
        self._app = app
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one call in, or refuse it with a Problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state: dict[str, Any] = scope["state"]
        sent = Headers(scope=scope)
        state["ip"] = scope["client"][0] if scope.get("client") else "unknown"
        self._deps.limits.spend_general(state, "ip", state["ip"])
        state["viewer"] = self._viewer(sent.get("authorization", ""))
        if state["viewer"]:
            self._deps.limits.spend_general(state, "user", state["viewer"])
        if scope["method"] in UNSAFE:
            state["body"] = await _whole_body(sent, receive)
            receive = _replay(state["body"], receive)
        await self._app(scope, receive, _Unauthenticated(self._deps, scope, receive, send).send)

    def _viewer(self, authorization: str) -> str | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        try:
            return self._deps.tokens.viewer(token.strip(), self._deps.now_ms())
        except BadToken:
            return None


class _Unauthenticated:
    """Counts a call that lacked or failed authentication; 401 becomes 429 beyond the limit."""

    def __init__(self, deps: Deps, scope: Scope, receive: Receive, send: Send) -> None:
        self._deps, self._scope, self._receive, self._send = deps, scope, receive, send
        self._refused = False

    async def send(self, message: Message) -> None:
        """Send on, unless the answer was replaced."""
        starts = message["type"] == "http.response.start"
        if starts and message["status"] == UNAUTHENTICATED.status:
            state = self._scope["state"]
            try:
                await self._deps.limits.spend(state, "unauthenticated", state["ip"])
            except Problem as problem:
                self._refused = True
                await problem.response()(self._scope, self._receive, self._send)
        if not self._refused:
            await self._send(message)


async def _whole_body(sent: Headers, receive: Receive) -> bytes:
    """The body, at most MAX_BODY_BYTES. Raises Problem for more, or when it trickles."""
    announced = sent.get("content-length", "0")
    too_large = Problem(TOO_LARGE, f"a body has at most {MAX_BODY_BYTES} bytes")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            more = True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message["type"] == "http.request" and message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    raise too_large
    except TimeoutError:
        raise Problem(TIMED_OUT) from None
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, then what really comes."""
    pending = [body]

    async def replayed() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return replayed
