"""One connection a Redis node, shared by all callers of a process.

Whoever asks writes in the same turn of the loop, by one system call for all who ask in it; the
server answers in order, so each block of replies belongs to the question that waits longest. Thus
nobody waits for a free connection, and a caller that goes away leaves its place in the row: its
replies are read and dropped.
Whatever breaks the order (a lost connection, a reply that nobody asked for, one that doesn't come)
ends the connection and everything on it. The next call opens another.

The protocol is RESP3, in which a server that is asked to tells, between two replies, that a key has
changed which was read on this connection (client tracking, https://valkey.io/topics/client-side-caching/).
A change that was made before a question was answered is told before that answer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from hiredis import ProtocolError, PushNotification, Reader, ReplyError

from domain.errors import StoreAway
from stores.redis_client import ANSWER_LIMIT_S, CONNECT_LIMIT_S
from stores.redis_commands import packed

_TRACK_AGAIN_S = 1.0
_LARGE = 8192  # bytes: the server may begin with these while others are packed

_HELLO = packed("HELLO", 3)
_TRACKING = packed("CLIENT", "TRACKING", "ON")

Reply = Any
"""int, float, bytes, None, a list or dict of these, or a hiredis.ReplyError in the place of any."""

Changed = Callable[[bytes | None], None]
"""Is told of a key that has changed; None: of any that was read, as far as one knows."""


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

    def __init__(self, changed: Changed = lambda _: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = Reader()
        self._row: deque[_Question] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._changed = changed
        self._alarm: asyncio.TimerHandle | None = None
        self.heard_at = 0.0
        """The loop's time of the last byte."""
        self.tracks = False
        """Whether changes of what is read are told of."""
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
        if self.tracks:
            self._changed(None)  # what isn't heard any more may change
        while self._row:
            answer = self._row.popleft().answer
            if not answer.done():
                answer.set_exception(type(reason)(*reason.args))

    def _look(self) -> None:
        """End it when the longest waiting question has waited too long."""
        self._alarm = None
        if not self._row:
            return
        quiet_since = max(self._row[0].sent_at, self.heard_at)
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
        self.heard_at = self._loop.time()
        try:
            self._reader.feed(data)
            self._hand_out()
        except ProtocolError as error:
            self.end(Lost(f"not the protocol: {error}"))

    def _hand_out(self) -> None:
        gets, row = self._reader.gets, self._row
        while row:
            question = row[0]
            replies, count = question.replies, question.count
            while len(replies) < count:
                reply = gets()
                if reply is False:  # not whole yet; no reply to our commands is a boolean
                    return
                if type(reply) is PushNotification:
                    self._pushed(reply)
                else:
                    replies.append(reply)
            row.popleft()
            if not question.answer.done():
                question.answer.set_result(replies)
        while (reply := gets()) is not False:
            if type(reply) is not PushNotification:
                self.end(Lost("a reply that nobody asked for"))
                return
            self._pushed(reply)

    def _pushed(self, message: list[Reply]) -> None:
        """What came unasked: keys that have changed, or none for all of them."""
        if message[0] == b"invalidate":
            for key in message[1] or (None,):
                self._changed(key)


class Node:
    """A server, by its address; connected while it is used."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._link: Connection | None = None
        self._opening: asyncio.Task[Connection] | None = None
        self._listener: Changed | None = None

    def listen(self, changed: Changed) -> None:
        """Have it told of what changes after it was read here. One listener a node."""
        self._listener = changed
        if self._link is not None and self._link.open:
            self._track(self._link)

    @property
    def heard_at(self) -> float | None:
        """The loop's time up to which changes were told of; None when nothing is read there.

        0 when they aren't told.
        """
        link = self._link
        if link is None or not link.open:
            return None
        return link.heard_at if link.tracks else 0.0

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
                _, link = await loop.create_connection(self._protocol, self.host, self.port)
            await self._greet(link)
            self._link = link
            return link
        finally:
            self._opening = None

    async def _greet(self, link: Connection) -> None:
        """Agree on the protocol, and be told of changes from the first answer on."""
        try:
            (hello,) = await link.ask(_HELLO, 1)
        except Lost as error:
            raise StoreAway(f"redis: {self.host}:{self.port}: {error}") from error
        if type(hello) is ReplyError:
            link.end(Lost("refused"))
            raise StoreAway(f"redis: {self.host}:{self.port}: HELLO 3: {hello}")
        if self._listener is not None:
            self._track(link)

    def _protocol(self) -> Connection:
        return Connection(self._changed)

    def _changed(self, key: bytes | None) -> None:
        if self._listener is not None:
            self._listener(key)

    def _track(self, link: Connection, *, late: bool = False) -> None:
        """From now on changes are told of; a server that can't is read as ever.

        `late`: something may have been read on this connection, whose changes aren't told of.
        """

        def noted(answer: asyncio.Future[list[Reply]]) -> None:
            if answer.cancelled() or answer.exception() is not None:
                return
            (reply,) = answer.result()
            link.tracks = reply == b"OK"
            if link.tracks and late:
                self._changed(None)
            elif str(reply).startswith("BUSY"):  # with a script, which ends
                again = partial(self._track, link, late=True)
                asyncio.get_running_loop().call_later(_TRACK_AGAIN_S, again)

        link.ask(_TRACKING, 1).add_done_callback(noted)
