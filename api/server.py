"""How the API's two processes run: settings, logs, one uvicorn on loopback."""

import socket
import sys
from collections.abc import Awaitable, Callable

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from domain import settings as tree
from domain.settings import Settings

_GRACE_S = 10
_UNREAD_LIMIT_S = 20.0
"""Somebody who takes nothing of an answer for so long is cut off, whatever was to be sent."""


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
        limit = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_UNREAD_LIMIT_S * 1000)
        for listener in [each for server in self.servers for each in server.sockets]:
            listener.setsockopt(*limit)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop, as the library does it, once answers that never end have been ended."""
        self._stopping()
        await super().shutdown(sockets)


async def listen(app: ASGIApp, port: int, stopping: Callable[[], None] = lambda: None) -> None:
    """Serve `app` until SIGTERM, call `stopping`, then let the calls under way end."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http="httptools",
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
