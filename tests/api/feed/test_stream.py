"""GET /feed/stream: what is told, once, to whom, and how a stream ends."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message

from api.feed.direct import Direct
from api.feed.ladder import Ladder
from api.feed.stream import FeedStream, FeedStreams
from api.front.envelope import Envelope
from api.hydrator import Hydrator
from api.problems import UNAUTHENTICATED, Problem
from api.resilience.breakers import Breakers
from domain import cursors
from domain.settings import Degradation, Feed, Settings, Streams
from tests.api.world import World as ApiWorld
from tests.feed_world import EDGE, Life, World, photo
from tests.waiting import until

FEED = Feed(cap=20, trim_slack=3)
QUICK = Streams(poll_s=0.02, heartbeat_s=0.1, most_per_user=2, most_per_ip=3, most=4)
VIEWER, AUTHOR, STAR, OTHER = range(4)
LIMIT_S = 20.0
GRACE_S = 8.0  # less than the server waits for answers that don't end


class Deps:
    """Streams, and a token that is somebody's name while it is valid."""

    def __init__(self, streams: FeedStreams) -> None:
        self.streams = streams
        self.expired = False

    def viewer(self, state: Mapping[str, Any]) -> str:
        viewer = self.bearer(state["sent"].get(b"authorization", b""))
        if viewer is None:
            raise Problem(UNAUTHENTICATED)
        return viewer

    def bearer(self, authorization: bytes) -> str | None:
        return None if self.expired else authorization.decode() or None


class Client:
    """One stream, read as it comes."""

    def __init__(
        self, app: ASGIApp, authorization: str, last_id: str | None = None, ip: str = "::1"
    ) -> None:
        headers = [(b"authorization", authorization.encode())]
        if last_id is not None:
            headers.append((b"last-event-id", last_id.encode()))
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/feed/stream",
            "query_string": b"",
            "headers": headers,
            "client": (ip, 40_000),
            "state": {"ip": ip},
        }
        self.text = b""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.over = False
        self._left = asyncio.Event()
        self._heard = asyncio.Event()
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.text += message["body"]
            self.over = not message.get("more_body", False)
        self._heard.set()

    async def until(self, words: bytes) -> None:
        """Wait for these words."""
        async with asyncio.timeout(LIMIT_S):
            while words not in self.text:
                self._heard.clear()
                await self._heard.wait()

    async def ended(self) -> None:
        await asyncio.wait_for(self.task, LIMIT_S)

    async def leave(self) -> None:
        self._left.set()
        await self.ended()

    def events(self) -> list[tuple[str, int]]:
        """(id, new posts) of each event."""
        form = rb'event: new_posts\nid: (\S+)\ndata: {"new_posts":(\d+)}\n\n'
        return [(i.decode(), int(n)) for i, n in re.findall(form, self.text)]

    async def told(self, posts: int) -> list[tuple[str, int]]:
        """The events, once they tell of so many posts."""
        async with asyncio.timeout(LIMIT_S):
            while sum(count for _, count in self.events()) < posts:
                self._heard.clear()
                await self._heard.wait()
        return self.events()


def opened(deps: Deps, viewer: str, last_id: str | None = None, ip: str = "::1") -> Client:
    """A stream of the route alone."""
    return Client(Envelope(FeedStream(deps), unlimited=("/feed/stream",)), viewer, last_id, ip)


def ladder_of(life: Life) -> Ladder:
    """Over the twins, with nothing away."""
    world, settings = life.world, Degradation()
    breakers = Breakers(settings)
    direct = Direct(world, Hydrator(world, EDGE, breakers), breakers, settings)
    return Ladder((life.reader, None), direct, breakers, settings, world.follow_cache)


async def scene(posts: int = 5) -> tuple[Life, str, Deps]:
    """The viewer follows an author and a star; there are older posts."""
    life = Life(await World(FEED, 4).settle())
    people = life.world.people
    for author in (AUTHOR, STAR):
        await life.follow(people[VIEWER], people[author])
    for number in range(posts):
        await life.world.photos.add(photo(people[AUTHOR], number, number))
    await life.world.celebrities.start_pulling(people[STAR], "ph_00000000000")
    return life, people[VIEWER], Deps(FeedStreams(ladder_of(life), QUICK))


async def looked(client: Client) -> None:
    """Its first look is over, and a heartbeat says so."""
    await client.until(b":\n\n")


async def test_new_posts_are_told_once_and_old_ones_never() -> None:
    life, viewer, deps = await scene()
    people = life.world.people
    client = opened(deps, viewer)
    await looked(client)
    assert client.status == 200
    assert client.headers[b"content-type"] == b"text/event-stream"
    assert client.headers[b"cache-control"] == b"no-store"
    assert client.text.startswith(b"retry: ")
    for number in (50, 51):
        await life.post(photo(people[AUTHOR], number, number))
    await life.post(photo(people[OTHER], 52, 52))  # nobody the viewer follows
    await client.told(2)
    star = photo(people[STAR], 60, 60)
    await life.world.photos.add(star)
    await life.world.pulls.drop(people[STAR])  # built again, with the post
    events = await client.told(3)
    before = len(client.text)
    await client.until(client.text[:before] + b":\n\n")  # silence after it
    assert client.events() == events
    await client.leave()
    assert client.over


async def test_a_post_that_arrives_late_is_told_too_and_a_deleted_one_is_not() -> None:
    life, viewer, deps = await scene()
    people = life.world.people
    client = opened(deps, viewer)
    await looked(client)
    await life.post(photo(people[AUTHOR], 51, 51))
    await client.told(1)
    gone = photo(people[AUTHOR], 53, 53)
    await life.world.post_cache.replace({gone.photo_id: b""})
    await life.post(gone)
    await life.post(photo(people[AUTHOR], 50, 50))
    events = await client.told(2)
    assert sum(count for _, count in events) == 2
    assert len({i for i, _ in events}) == 1  # the newest place hasn't moved
    await client.leave()


async def test_who_comes_back_hears_of_what_was_missed_and_of_nothing_else() -> None:
    life, viewer, deps = await scene()
    people = life.world.people
    client = opened(deps, viewer)
    await looked(client)
    await life.post(photo(people[AUTHOR], 50, 50))
    [(last_id, _)] = await client.told(1)
    await client.leave()
    for number in (51, 52, 53):
        await life.post(photo(people[AUTHOR], number, number))
    again = opened(deps, viewer, last_id)
    [(next_id, count)] = await again.told(3)
    assert count == 3
    await again.leave()
    nothing = opened(deps, viewer, next_id)
    await looked(nothing)
    assert nothing.events() == []
    await nothing.leave()


@pytest.mark.parametrize(
    "last_id", ["x", "é", cursors.encode("feed:recent", 5, "ph_00000000001"),
                cursors.encode("feed:stream", 5, "nonsense")],
)  # fmt: skip
async def test_a_foreign_id_is_refused(last_id: str) -> None:
    _, viewer, deps = await scene()
    client = opened(deps, viewer, last_id)
    await client.ended()
    assert client.status == 422


async def test_streams_are_few_for_each_user_each_address_and_for_all() -> None:
    life, viewer, deps = await scene()
    people = life.world.people
    mine = [opened(deps, viewer) for _ in range(2)]
    for client in mine:
        await looked(client)
    third = opened(deps, viewer, ip="::2")
    await third.ended()
    assert (third.status, third.headers[b"retry-after"]) == (429, b"3")
    other = opened(deps, people[OTHER])
    await looked(other)
    neighbour = opened(deps, people[AUTHOR])
    await neighbour.ended()
    assert neighbour.status == 429
    elsewhere = opened(deps, people[AUTHOR], ip="::2")
    await looked(elsewhere)
    fifth = opened(deps, people[STAR], ip="::3")
    await fifth.ended()
    assert fifth.status == 503
    await mine[0].leave()
    free = opened(deps, viewer)
    await looked(free)
    for client in (mine[1], other, elsewhere, free):
        await client.leave()
    assert not deps.streams._open  # noqa: SLF001 - nothing is kept of who has left


async def test_a_stream_ends_with_its_token() -> None:
    _, viewer, deps = await scene()
    client = opened(deps, viewer)
    await looked(client)
    deps.expired = True
    await client.ended()
    assert client.over


async def test_all_streams_end_when_the_process_does() -> None:
    _, viewer, deps = await scene()
    clients = [opened(deps, viewer) for _ in range(2)]
    for client in clients:
        await looked(client)
    deps.streams.end()
    for client in clients:
        await client.ended()
        assert client.over
    late = opened(deps, viewer)
    await late.ended()
    assert late.status == 503


async def test_an_absent_store_is_silence_not_an_end() -> None:
    life, viewer, deps = await scene()
    client = opened(deps, viewer)
    await looked(client)
    sets = life.world.timelines._sets  # noqa: SLF001 - what the server holds
    kept = dict(sets)
    sets.clear()  # cold: built again by the stream itself
    await life.world.photos.add(photo(life.world.people[AUTHOR], 90, 90))
    assert kept
    await client.told(1)
    await client.leave()


async def test_the_whole_application_streams_too(world: ApiWorld) -> None:
    ann, bob = await world.someone(), await world.someone()
    assert (await world.call("POST", f"/follow/{bob.user_id}", ann)).status_code == 200
    client = Client(world.app, ann.headers["Authorization"])
    await client.until(b"retry: ")
    assert client.status == 200
    assert client.headers[b"x-content-type-options"] == b"nosniff"
    await client.leave()
    assert client.over


async def test_the_process_stops_at_once_with_streams_open(
    world: ApiWorld, settings: Settings
) -> None:
    ann = await world.someone()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "api")
    variables = {**os.environ, "PHOTOFEED_PORTS__API": str(port - settings.port_offset)}
    process = await asyncio.create_subprocess_exec(*command, env=variables)
    try:
        base = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base, timeout=LIMIT_S) as http:
            await until(partial(_alive, http))
            async with http.stream("GET", "/feed/stream", headers=ann.headers) as answer:
                assert answer.status_code == 200
                lines = answer.aiter_lines()
                assert (await anext(lines)).startswith("retry: ")
                process.terminate()
                loop = asyncio.get_running_loop()
                asked = loop.time()
                assert {line async for line in lines} <= {"", ":"}  # a clean end, no broken pipe
                await asyncio.wait_for(process.wait(), LIMIT_S)
                assert loop.time() - asked < GRACE_S
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode in (0, -signal.SIGTERM)


async def _alive(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/live")).status_code == 200
    except httpx.TransportError:
        return False
