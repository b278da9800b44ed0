"""A way to a server whose width can be set: what a slow server looks like to its clients."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

_SLICE_BYTES = 4096
"""Small enough that answers keep coming while the way is narrow."""


class Gate:
    """Passes bytes on, at most `bytes_per_s` of them from all clients together; replies freely."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._free_at = 0.0
        self._open: set[asyncio.Task[None]] = set()
        self.bytes_per_s = math.inf
        self.passed = 0

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        """Take connections on a loopback port meanwhile."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for each in self._open:
                each.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._upstream)
        ways = [
            asyncio.create_task(_pump(reader, ours, self._turn)),
            asyncio.create_task(_pump(theirs, writer, _at_once)),
        ]
        self._open.update(ways)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self._open.difference_update(ways)
        for way in ways:
            way.cancel()
        for end in (writer, ours):
            end.close()

    async def _turn(self, size: int) -> None:
        """Wait until so many bytes may go."""
        now = asyncio.get_running_loop().time()
        self._free_at = max(now, self._free_at) + size / self.bytes_per_s
        self.passed += size
        await asyncio.sleep(self._free_at - now)


async def _at_once(_size: int) -> None:
    """No limit."""


async def _pump(
    source: asyncio.StreamReader,
    target: asyncio.StreamWriter,
    turn: Callable[[int], Awaitable[None]],
) -> None:
    with suppress(ConnectionError):
        while data := await source.read(_SLICE_BYTES):
            await turn(len(data))
            target.write(data)
            await target.drain()
