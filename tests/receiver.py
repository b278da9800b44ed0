"""A receiver of webhooks on this machine, as small as one can be."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, *headers: str) -> bytes:
    """An answer without a body."""
    return "\r\n".join((f"HTTP/1.1 {status} X", *headers, "content-length: 0", "", "")).encode()


@dataclass
class Receiver:
    """Answers each call with what `reply` makes of its number, from 0; None leaves it hanging."""

    reply: Callable[[int], bytes | None] = lambda _: answer(204)
    calls: list[Call] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None

    async def open(self, tls: ssl.SSLContext | None = None) -> str:
        """Listen; the URL."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{self.port}/hook"

    def close(self) -> None:
        """Stop listening."""
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in rest)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.calls.append(Call(line, headers, body))
        reply = self.reply(len(self.calls) - 1)
        if reply is None:
            await reader.read()  # until the caller gives up
        else:
            writer.write(reply)
        writer.close()
