"""What a call must pass before its route: a small body, a name, the limits that hold for all."""

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.deps import Deps
from api.problems import BAD_REQUEST, TIMED_OUT, TOO_LARGE, UNAUTHENTICATED, Problem

BODY_LIMIT_S = 10.0
MAX_BODY_BYTES = 65_536
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


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
        sent: dict[bytes, bytes] = state["sent"]
        state["ip"] = scope["client"][0] if scope.get("client") else "unknown"
        self._deps.limits.spend_general(state, "ip", state["ip"])
        state["viewer"] = self._deps.bearer(sent.get(b"authorization", b""))
        if state["viewer"]:
            self._deps.limits.spend_general(state, "user", state["viewer"])
        if scope["method"] in UNSAFE:
            state["body"] = await _whole_body(sent, receive)
            receive = _replay(state["body"], receive)
        elif state["viewer"]:  # then nothing that is only read answers 401
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Unauthenticated(self._deps, scope, receive, send).send)


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


async def _whole_body(sent: dict[bytes, bytes], receive: Receive) -> bytes:
    """The body, at most MAX_BODY_BYTES. Raises Problem for more, or when it trickles."""
    announced = sent.get(b"content-length", b"0")
    too_large = Problem(TOO_LARGE, f"a body has at most {MAX_BODY_BYTES} bytes")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(BAD_REQUEST, "the body ended early")
                body += message.get("body", b"")
                more = message.get("more_body", False)
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
