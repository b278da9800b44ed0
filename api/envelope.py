"""What every answer goes through: request id, security headers, metrics, the last resort."""

import asyncio
import re
import time
import uuid

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits, metrics, trace
from api.problems import INTERNAL, problem_of

CALL_LIMIT_S = 25.0
"""Below the life of an unfinished Idempotency-Key, so that no two tries of a call overlap."""


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
