"""Streams without end, served as the API serves its own: `python -m … PORT`.

Whoever is called "quiet" hears a comment now and then; all others get as much as they read.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any, cast

import uvloop
from starlette.types import Receive, Scope, Send

from api import server
from api.feed import stream
from api.feed.stream import FeedStream, FeedStreams
from api.front.envelope import Envelope
from domain.entities import Cursor
from domain.settings import Streams

if TYPE_CHECKING:
    from api.feed.ladder import Ladder

BLOCK = b"x" * 16_384
PAUSE_S = 0.1


class Lavish(FeedStreams):
    """Events that no feed is needed for."""

    async def events(
        self,
        viewer_id: str,
        since: Cursor | None,  # noqa: ARG002 - as it is called
        gone: "asyncio.Task[None]",
    ) -> AsyncGenerator[bytes, None]:
        while not gone.done():
            yield b":\n\n" if viewer_id == "quiet" else BLOCK
            await asyncio.sleep(PAUSE_S if viewer_id == "quiet" else 0)


class Deps:
    """Everybody is who they say."""

    def __init__(self, streams: FeedStreams) -> None:
        self.streams = streams

    def viewer(self, state: Mapping[str, Any]) -> str:
        return self.bearer(state["sent"][b"authorization"])

    def bearer(self, authorization: bytes) -> str:
        return authorization.decode()


async def main(port: int) -> None:
    streams = Lavish(cast("Ladder", None), Streams())
    route = FeedStream(Deps(streams))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["ip"] = scope["client"][0] if scope["type"] == "http" else ""
        await route(scope, receive, send)

    await server.listen(Envelope(app, unlimited=(stream.PATH,)), port, streams.end)


if __name__ == "__main__":
    stream._SEND_LIMIT_S = 6.0  # noqa: SLF001 - a test mustn't take long
    server._UNREAD_LIMIT_S = 3.0  # noqa: SLF001 - the same
    uvloop.run(main(int(sys.argv[1])))
