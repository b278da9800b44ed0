"""What every answer goes through: request id, security headers, metrics, the last resort."""

import random
import re
import time
from collections.abc import Collection

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics
from api.front import limits
from api.problems import INTERNAL, problem_of
from api.resilience.deadlines import Deadlines

CALL_LIMIT_S = 25.0
"""Below the life of an unfinished Idempotency-Key, so that no two tries of a call overlap."""


_SANE_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
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
    """Names the call, times it, and turns whatever escapes into a problem.

    Calls of the paths in `unlimited` may take longer than CALL_LIMIT_S: they bound their waits
    themselves.
    """

    def __init__(self, app: ASGIApp, unlimited: Collection[str] = ()) -> None:
        self._app = app
        self._unlimited = frozenset(unlimited)
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one call, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        metrics.IN_FLIGHT.inc()
        try:
            if scope["path"] in self._unlimited:
                await self._app(scope, receive, answer.send)
            else:
                await self._deadlines.run(CALL_LIMIT_S, self._app, scope, receive, answer.send)
        except Exception as error:  # noqa: BLE001 - the last resort: nothing may escape as a traceback
            problem = problem_of(error)
            if problem.kind is INTERNAL:
                request_id = answer.request_id.decode()
                _log.exception("call.failed", request_id=request_id, path=scope["path"])
            if answer.status == 0:
                await problem.response()(scope, receive, answer.send)
        finally:
            metrics.IN_FLIGHT.dec()
            answer.measure()


class _Answer:
    """One answer on its way out. `state["sent"]` are the call's headers, the first of each name."""

    __slots__ = ("_scope", "_send", "_started", "request_id", "status")

    def __init__(self, scope: Scope, send: Send) -> None:
        sent: dict[bytes, bytes] = dict(reversed(scope["headers"]))
        given = sent.get(b"x-request-id", b"")
        self.request_id = given if _SANE_ID.fullmatch(given) else b"%032x" % random.getrandbits(128)
        self.status = 0
        self._scope = scope
        self._send = send
        self._started = time.perf_counter()
        scope.setdefault("state", {})["sent"] = sent

    async def send(self, message: Message) -> None:
        """Send on, the first message with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [
                *message["headers"],
                (b"x-request-id", self.request_id),
                *limits.headers(self._scope["state"]),
            ]
            present = {name for name, _ in message["headers"]}
            headers += [header for header in _DEFAULTS if header[0] not in present]
            message["headers"] = headers
        await self._send(message)

    def measure(self) -> None:
        """Count the call under its route's template."""
        route = getattr(self._scope.get("route"), "path", None) or "unmatched"
        seconds = time.perf_counter() - self._started
        metrics.answered(self._scope["method"], route, self.status or 500, seconds)
