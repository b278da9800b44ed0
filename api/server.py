"""How the API's two processes run: settings, logs, one uvicorn on loopback."""

import asyncio
import gc
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import metrics
from domain import settings as tree
from domain.settings import Settings

_GRACE_S = 10
_GARBAGE = 20_000
"""Objects after which the collector looks for cycles: a page makes hundreds, and hardly any."""
_UNREAD_LIMIT_S = 20.0
"""Somebody who takes nothing of an answer for so long is cut off, whatever was to be sent."""


class _Corked:
    """A transport that sends what is written in one turn of the loop by one system call.

    The library writes an answer's head and body one after the other: that wakes the client twice,
    and costs as much again as the whole parsing of the call.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._unsent: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the transport's own
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send at the end of this turn."""
        self._unsent.append(data)
        if len(self._unsent) == 1:
            self._loop.call_soon(self._send)

    def close(self) -> None:
        """Send what was written, then end."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._unsent and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


class _Protocol(HttpToolsProtocol):
    """The library's, over a corked transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the library has it
        """Begin."""
        super().connection_made(cast("asyncio.Transport", _Corked(transport, self.loop)))


class _Server(uvicorn.Server):
    """A server that tells its application before it waits for the calls under way."""

    def __init__(self, config: uvicorn.Config, stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, as the library does it; the kernel then watches who doesn't read.

        Else a connection whose answer was given up stays until its client goes, as the library
        waits for the rest to be sent. Connections have the option from their listener.
        """
        await super().startup(sockets)
        gc.freeze()  # what is there now stays: it needn't be looked through for garbage again
        gc.set_threshold(_GARBAGE)
        limit = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_UNREAD_LIMIT_S * 1000)
        for listener in [each for server in self.servers for each in server.sockets]:
            listener.setsockopt(*limit)

    async def on_tick(self, counter: int) -> bool:
        """Write the metrics; ten times a second, the library's pace."""
        metrics.write()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, as the library does it, once answers that never end have been ended."""
        self._stopping()
        await super().shutdown(sockets)
        metrics.write()


async def listen(app: ASGIApp, port: int, stopping: Callable[[], None] = lambda: None) -> None:
    """Serve `app` until SIGTERM, call `stopping`, then let the calls under way end."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http=_Protocol,
        ws="none",
        access_log=False,
        proxy_headers=False,  # the application has its own rule
        server_header=False,
        log_level="warning",
        timeout_graceful_shutdown=_GRACE_S,
    )
    await _Server(config, stopping).serve()


def run(serve: Callable[[Settings], Awaitable[None]]) -> int:
    """Read the settings and serve; an exit code, 2 for a setting that can't be used."""
    try:
        settings = tree.load()
    except tree.SettingsError as error:
        sys.stderr.write(f"api: {error}\n")
        return 2
    _log_as_json()

    async def main() -> None:
        await serve(settings)

    uvloop.run(main())
    return 0


def _log_as_json() -> None:
    """One JSON object a line; tracebacks without local variables, which may hold secrets."""
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    )
