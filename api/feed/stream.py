"""GET /feed/stream: server-sent events that tell of new posts (WHATWG HTML, 9.2).

A stream looks at its viewer's feed again and again, as a reader would, so it tells of whatever the
feed would show, pushed or pulled. An event's id is the place of the newest post it tells of; a
client that comes back with it as Last-Event-ID hears of what it missed.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import Any, Protocol

from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from api import metrics
from api.feed.ladder import Ladder
from api.problems import RATE_LIMITED, UNAVAILABLE, Problem, invalid
from domain import cursors, ids
from domain.entities import Cursor
from domain.feed import place
from domain.settings import Streams

PATH = "/feed/stream"
_LIST = "feed:stream"
_PLACE = (int, str)
_LATE_MS = 60_000  # a post may arrive behind newer ones; so much later it is no news
_SEND_LIMIT_S = 30.0  # longer than the server lets anybody read nothing: this is for who trickles
_RETRY_MS = 3000
_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy must not wait for more of it
]


class StreamDeps(Protocol):
    """What the route needs."""

    @property
    def streams(self) -> "FeedStreams":
        """The streams of this process."""

    def viewer(self, state: Mapping[str, Any]) -> str:
        """The viewer's id from a call's state. Raises Problem (401)."""

    def bearer(self, authorization: bytes) -> str | None:
        """The viewer whose token, valid now, this header holds."""


class FeedStreams:
    """The streams of one process: few a user, an address and altogether; ended together."""

    def __init__(self, feeds: Ladder, settings: Streams) -> None:
        self._feeds = feeds
        self._settings = settings
        self._open: Counter[str] = Counter()  # by user and by address
        self._all = 0
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End all that are open, and open no more: the process stops."""
        self._ending.set()

    @contextmanager
    def place(self, viewer_id: str, ip: str) -> Iterator[None]:
        """Room for one more. Raises Problem: 429 too many of one user or address, 503 of all."""
        settings, pause = self._settings, {"Retry-After": str(_RETRY_MS // 1000)}
        if self._ending.is_set() or self._all >= settings.most:
            raise Problem(UNAVAILABLE, "too many streams are open", headers=pause)
        for who, most in ((viewer_id, settings.most_per_user), (ip, settings.most_per_ip)):
            if self._open[who] >= most:
                raise Problem(RATE_LIMITED, f"at most {most} streams at once", headers=pause)
        self._all += 1
        self._open.update((viewer_id, ip))
        metrics.FEED_STREAMS.inc()
        try:
            yield
        finally:
            metrics.FEED_STREAMS.dec()
            self._all -= 1
            self._open -= Counter((viewer_id, ip))  # what is none any more is dropped

    async def events(
        self, viewer_id: str, since: Cursor | None, gone: "asyncio.Task[None]"
    ) -> AsyncGenerator[bytes, None]:
        """Events and heartbeats, until the client is gone or the process ends."""
        loop = asyncio.get_running_loop()
        ending = asyncio.create_task(self._ending.wait())
        watch = _Watch(self._feeds, viewer_id, since)
        yield b"retry: %d\n\n" % _RETRY_MS
        said = loop.time()
        try:
            while not (ending.done() or gone.done()):
                event = await watch.look()
                if event is None and loop.time() - said >= self._settings.heartbeat_s:
                    event = b":\n\n"
                if event is not None:
                    yield event
                    said = loop.time()
                pause_s = self._settings.poll_s * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
                done = {ending, gone}
                await asyncio.wait(done, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()


class _Watch:
    """What one stream has told of."""

    def __init__(self, feeds: Ladder, viewer_id: str, since: Cursor | None) -> None:
        self._feeds = feeds
        self._viewer_id = viewer_id
        self._since = since
        self._told: dict[str, Cursor] = {}
        self._begun = False

    async def look(self) -> bytes | None:
        """An event when there is something new. A new client's first look only takes note."""
        since = self._since
        late = None if since is None else Cursor(max(0, since.published_at - _LATE_MS), "")
        found = await self._feeds.news(self._viewer_id, late, self._told)
        if found is None:
            return None
        new = [e for e in found if self._begun or (since is not None and place(e) > since)]
        self._begun = True
        if found:
            self._since = max(since or place(found[0]), place(found[0]))
            told = self._told | {entry.post_id: place(entry) for entry in found}
            self._told = {key: at for key, at in told.items() if late is None or at > late}
        return _event(self._since, len(new)) if new and self._since else None


class FeedStream:
    """The route, a bare ASGI application: an answer that doesn't end."""

    def __init__(self, deps: StreamDeps) -> None:
        self._deps = deps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell of new posts until the client goes, its token ends or the process does."""
        sent: dict[bytes, bytes] = scope["state"]["sent"]
        viewer_id, since = self._deps.viewer(scope["state"]), _since(sent)
        with self._deps.streams.place(viewer_id, scope["state"]["ip"]):
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            gone = asyncio.create_task(_disconnected(receive))
            try:
                if scope["method"] == "GET":
                    await self._tell(viewer_id, since, gone, sent, send)
                await _send(send, b"", more=False)
            except TimeoutError:
                pass  # who hardly reads is gone, too
            finally:
                gone.cancel()

    async def _tell(
        self,
        viewer_id: str,
        since: Cursor | None,
        gone: "asyncio.Task[None]",
        sent: Mapping[bytes, bytes],
        send: Send,
    ) -> None:
        async with aclosing(self._deps.streams.events(viewer_id, since, gone)) as events:
            async for event in events:
                await _send(send, event)
                if self._deps.bearer(sent.get(b"authorization", b"")) != viewer_id:
                    return


def route(deps: StreamDeps) -> Route:
    """The route, to be mounted."""
    return Route(PATH, FeedStream(deps), methods=["GET"])


def _event(at: Cursor, posts: int) -> bytes:
    place_id = cursors.encode(_LIST, at.published_at, at.post_id)
    return b'event: new_posts\nid: %b\ndata: {"new_posts":%d}\n\n' % (place_id.encode(), posts)


def _since(sent: Mapping[bytes, bytes]) -> Cursor | None:
    """Where the client left off. Raises Problem (422) for an id that isn't one of a stream."""
    given = sent.get(b"last-event-id")
    if not given:
        return None
    with suppress(cursors.ForeignCursor):
        published_at, post_id = cursors.decode(_LIST, _PLACE, given.decode("latin-1"))
        if ids.is_id(str(post_id), "ph_"):
            return Cursor(int(published_at), str(post_id))
    raise invalid("Last-Event-ID", "not the id of an event of this stream", "header")


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    """Send, for a while. Raises TimeoutError."""
    message: Message = {"type": "http.response.body", "body": body, "more_body": more}
    async with asyncio.timeout(_SEND_LIMIT_S):
        await send(message)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
