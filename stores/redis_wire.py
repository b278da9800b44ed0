"""One connection a Redis node, shared by all callers of a process.

Whoever asks writes in the same turn of the loop, by one system call for all who ask in it; the
server answers in order, so each block of replies belongs to the question that waits longest. Thus
nobody waits for a free connection, and a caller that goes away leaves its place in the row: its
replies are read and dropped.
Whatever breaks the order (a lost connection, a reply that nobody asked for, one that doesn't come)
ends the connection and everything on it. The next call opens another.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

from hiredis import ProtocolError, Reader

from domain.errors import StoreAway
from stores.redis_client import ANSWER_LIMIT_S, CONNECT_LIMIT_S

_LARGE = 8192  # bytes: the server may begin with these while others are packed

Reply = Any
"""int, bytes, None, a list of these, or a hiredis.ReplyError in the place of any."""


class Lost(Exception):
    """The connection ended before the answer came."""


@dataclass(eq=False, slots=True)
class _Question:
    count: int
    sent_at: float
    answer: asyncio.Future[list[Reply]]
    replies: list[Reply] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """A connection that has been made; it ends once and for all."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._row: deque[_Question] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._heard_at = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()
        """Set once its socket is closed."""

    @property
    def open(self) -> bool:
        """Whether it may be asked."""
        return self._transport is not None

    def ask(self, commands: bytes, count: int) -> asyncio.Future[list[Reply]]:
        """Send commands that get `count` replies. The future raises Lost or StoreAway."""
        answer: asyncio.Future[list[Reply]] = self._loop.create_future()
        if self._transport is None:
            answer.set_exception(Lost("closed"))
            return answer
        self._row.append(_Question(count, self._loop.time(), answer))
        if self._alarm is None:
            self._alarm = self._loop.call_later(ANSWER_LIMIT_S, self._look)
        self._unsent.append(commands)
        if len(commands) > _LARGE:
            self._send()
        elif len(self._unsent) == 1:
            self._loop.call_soon(self._send)
        return answer

    def _send(self) -> None:
        """Write what was asked in this turn of the loop: one system call for all who asked."""
        if self._transport is not None and self._unsent:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def end(self, reason: Exception) -> None:
        """End it, and all that wait on it."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._alarm is not None:
            self._alarm.cancel()
        while self._row:
            answer = self._row.popleft().answer
            if not answer.done():
                answer.set_exception(type(reason)(*reason.args))

    def _look(self) -> None:
        """End it when the longest waiting question has waited too long."""
        self._alarm = None
        if not self._row:
            return
        quiet_since = max(self._row[0].sent_at, self._heard_at)
        left_s = quiet_since + ANSWER_LIMIT_S - self._loop.time()
        if left_s <= 0:
            self.end(StoreAway(f"redis: no answer for {ANSWER_LIMIT_S} s"))
        else:
            self._alarm = self._loop.call_later(left_s, self._look)

    # --- called by the event loop --------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side, or the network, ended it."""
        self.end(Lost(str(exc or "closed by the server")))
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        """Hand out whole replies; what is left waits for its rest."""
        self._heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            self._hand_out()
        except ProtocolError as error:
            self.end(Lost(f"not the protocol: {error}"))

    def _hand_out(self) -> None:
        gets, row = self._reader.gets, self._row
        while row:
            question = row[0]
            replies = question.replies
            for _ in range(question.count - len(replies)):
                reply = gets()
                if reply is False:  # not whole yet; no reply to our commands is a boolean
                    return
                replies.append(reply)
            row.popleft()
            if not question.answer.done():
                question.answer.set_result(replies)
        if self._reader.has_data():
            self.end(Lost("a reply that nobody asked for"))


class Node:
    """A server, by its address; connected while it is used."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._link: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None

    async def ask(self, commands: bytes, count: int) -> list[Reply]:
        """Send commands that get `count` replies; errors are among those. Raises StoreAway.

        If the connection ends meanwhile they are sent once more, on a new one: that covers a
        server that was restarted. So everything asked must be safe to repeat.
        """
        link = self._link
        if link is not None and link.open:
            try:
                return await link.ask(commands, count)
            except Lost:
                pass
        link = await self._open()
        try:
            return await link.ask(commands, count)
        except Lost as error:
            raise StoreAway(f"redis: {self.host}:{self.port}: {error}") from error

    async def close(self) -> None:
        """End the connection; a later call opens another."""
        if self._opening is not None:
            self._opening.cancel()
        if self._link is not None:
            self._link.end(Lost("closed here"))
            await self._link.gone.wait()

    async def _open(self) -> Connection:
        """A new connection, one for all who ask for it at the same time."""
        if self._link is not None and self._link.open:
            return self._link
        if self._opening is None:
            self._opening = asyncio.create_task(self._connect())
        try:
            return await asyncio.shield(self._opening)
        except (OSError, TimeoutError) as error:
            raise StoreAway(f"redis: {self.host}:{self.port}: {error!r}") from error

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                loop = asyncio.get_running_loop()
                _, self._link = await loop.create_connection(Connection, self.host, self.port)
                return self._link
        finally:
            self._opening = None
