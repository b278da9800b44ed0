"""Builds of cold sets: a store that is away costs a build no more than it costs a read."""

import asyncio

import pytest

from api.feed.builder import Build, FeedBuilder
from api.resilience import breakers as api_breakers
from api.resilience.breakers import Breakers, State
from domain.errors import StoreAway
from domain.settings import Degradation, Feed
from tests.feed_world import World, photo
from tests.moods import Mood, Server

FEED = Feed(cap=20, trim_slack=3, builds_at_once=2)
PATIENT = Degradation(failures=3, pause_s=60)
GONE: tuple[Mood, ...] = ("refuses", "hangs")
ASKED = [
    ("feed", "follows", "postgres"),
    ("feed", "celebrities", "postgres"),
    ("feed", "photos", "cassandra"),
    ("pull list", "photos", "cassandra"),
]
"""Which set, what it is read from, and whose breaker stands before that."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_breakers, "STORE_LIMIT_S", 0.03)


class Scene:
    """An author whom everybody else follows; one of the stores is on a server with moods."""

    def __init__(self, world: World, store: str) -> None:
        self.world, self.server = world, Server()
        self.author, *self.viewers = world.people
        setattr(world, store, self.server.holding(getattr(world, store)))
        self.breakers = Breakers(PATIENT)
        self.builder = FeedBuilder(world, world.feed, self.breakers)

    def begin(self, kind: str, viewer: int = 0) -> Build:
        if kind == "feed":
            return self.builder.feed(self.viewers[viewer])
        return self.builder.pull_list(self.author)


async def scene(store: str, viewers: int = 1) -> Scene:
    world = await World(FEED, 1 + viewers).settle()
    author, *others = world.people
    for viewer in others:
        await world.follows.follow(viewer, author, "e", 0)
    await world.photos.add(photo(author, 1, 1))
    return Scene(world, store)


@pytest.mark.parametrize("mood", GONE)
@pytest.mark.parametrize(("kind", "store", "server"), ASKED)
async def test_a_build_waits_for_nobody_longer_than_a_read_does(
    kind: str, store: str, server: str, mood: Mood
) -> None:
    at = await scene(store)
    at.server.mood = mood
    async with asyncio.timeout(2):
        with pytest.raises(StoreAway, match=server):
            await at.begin(kind).task
    at.server.mood = "well"
    assert await at.begin(kind).task


@pytest.mark.parametrize(("kind", "store", "server"), ASKED)
async def test_a_build_does_not_ask_who_is_known_to_be_away(
    kind: str, store: str, server: str
) -> None:
    at = await scene(store)
    away = Server()
    away.mood = "refuses"
    while at.breakers[server].state is State.CLOSED:
        with pytest.raises(StoreAway):
            await at.breakers[server].run(away.answer, None)
    with pytest.raises(StoreAway):
        await at.begin(kind).task
    assert at.server.calls == 0


async def test_the_rest_of_many_builds_waits_for_its_turn() -> None:
    at = await scene("photos", viewers=9)
    builds = [at.begin("feed", viewer) for viewer in range(9)]
    assert all(await asyncio.gather(*(build.task for build in builds)))
    assert at.server.most_inside == FEED.builds_at_once
