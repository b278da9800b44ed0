"""Feeds are read while a real cache is stopped, killed, emptied; its replica too.

The test has its own small servers. The durable stores are twins that fail on command: what is
measured is how readers get past a cache that doesn't answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from api import metrics
from api.feed.direct import DIRECT_POSTS, Direct
from api.feed.ladder import Ladder, Source
from api.feed.page import Completeness, Page
from api.feed.reader import FeedReader, FeedStores
from api.hydrator import Hydrator
from api.resilience import breakers as api_breakers
from api.resilience.breakers import Breakers, State
from domain.entities import FeedEntry
from domain.settings import Degradation, Feed
from stores.redis_follow_cache import RedisFollowCache
from stores.redis_post_cache import RedisPostCache
from stores.redis_reaction_cache import RedisReactionCache
from stores.redis_replica import ReadOnlyFeeds
from stores.redis_server import RedisServer
from stores.redis_shelf import RedisShelf
from stores.redis_timelines import RedisTimelines
from tests.feed_world import EDGE, Life, World, ids_of, photo, post_ids
from tests.moods import Server
from tests.redis_nodes import RedisNode, redis_nodes
from tests.waiting import until

if TYPE_CHECKING:
    from stores.connect import Stores

FEED = Feed(cap=100, trim_slack=10, builds_at_once=2)
READERS, POSTS, LIMIT = 8, 40, 10
SWITCH_OVER_S = 15.0
"""The promise; what is measured is printed."""
QUICK_S = 0.5
"""A read that waited for nobody, on a busy machine."""


class Builds(RedisTimelines):
    """Counts what is built, and how much at once."""

    begun = running = most = 0

    async def begin_build(self, user_id: str) -> str:
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        return await super().begin_build(user_id)

    async def finish_build(
        self,
        user_id: str,
        token: str,
        entries: Sequence[FeedEntry],
        celebrities: Sequence[str] = (),
    ) -> bool:
        self.running -= 1
        return await super().finish_build(user_id, token, entries, celebrities)


@dataclass
class Answer:
    began: float
    seconds: float
    page: Page


@dataclass
class Process:
    """What one API process has, and people who read their feeds from it all the time."""

    life: Life
    primary: RedisNode
    replica: RedisNode
    durable: Server
    builds: Builds
    breakers: Breakers
    ladder: Ladder
    answers: list[Answer] = field(default_factory=list)

    @property
    def viewers(self) -> list[str]:
        return self.life.world.people[2:]

    @asynccontextmanager
    async def readers(self) -> AsyncIterator[None]:
        """Meanwhile all of them read; whatever a read raises fails the test."""
        tasks = [asyncio.create_task(self._read(viewer)) for viewer in self.viewers]
        try:
            await self.served(Completeness.COMPLETE)
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends

    async def _read(self, viewer: str) -> None:
        while True:
            began = time.perf_counter()
            page = await self.ladder.home(viewer, None, LIMIT)
            self.answers.append(Answer(began, time.perf_counter() - began, page))
            await asyncio.sleep(0.02)

    async def served(self, what: Completeness, posts: int = LIMIT) -> float:
        """Wait until everybody is answered like this, and at once; the seconds it took."""
        since = time.perf_counter()

        async def all_are() -> bool:
            last = [each for each in self.answers[-2 * READERS :] if each.began > since]
            good = [
                each.page.completeness is what
                and len(each.page.posts) == posts
                and each.seconds < QUICK_S
                for each in last
            ]
            return len(good) == 2 * READERS and all(good)

        await until(all_are, SWITCH_OVER_S)
        return time.perf_counter() - since

    async def replicated(self) -> None:
        """Wait until the replica has all that the primary has."""

        async def same() -> bool:
            told = (await self.primary.call("INFO", "replication")).decode()
            at = told.partition("master_repl_offset:")[2].split()[0]
            return f"offset={at}," in told and "state=online" in told

        await until(same)


@pytest.fixture
async def at() -> AsyncIterator[Process]:
    """Warm feeds on a primary, and a replica that has all of it."""
    life = Life(await World(FEED, READERS + 2).settle())
    people = life.world.people
    for viewer in people[2:]:
        for author in people[:2]:
            await life.world.follows.follow(viewer, author, "e", 0)
    for number in range(POSTS):
        await life.world.photos.add(photo(people[number % 2], number, number))
    async with redis_nodes(2) as (primary, replica):
        await replica.call("REPLICAOF", "127.0.0.1", primary.port)
        links = RedisServer.at(primary.url), RedisServer.at(replica.url)
        process = _process(life, (primary, replica), links)
        for viewer in process.viewers:
            await process.ladder.home(viewer, None, LIMIT)
        await process.replicated()
        yield process
        await process.ladder.close()
        for link in links:
            await link.close()


def _process(
    life: Life, nodes: tuple[RedisNode, RedisNode], links: tuple[RedisServer, RedisServer]
) -> Process:
    world, redis, durable, settings = life.world, links[0], Server(), Degradation()
    builds, breakers = Builds(redis, FEED), Breakers(settings)
    ports = SimpleNamespace(
        timelines=builds,
        pulls=RedisTimelines(redis, FEED, "pulls"),
        shelf=RedisShelf(redis, FEED),
        follow_cache=RedisFollowCache(redis, FEED),
        post_cache=RedisPostCache(redis, FEED),
        reaction_cache=RedisReactionCache(redis, FEED),
        photos=durable.holding(world.photos),
        users=durable.holding(world.users),
        reactions=durable.holding(world.reactions),
        follows=durable.holding(world.follows),
        celebrities=durable.holding(world.celebrities),
    )
    stores = cast("FeedStores", ports)
    copies = ReadOnlyFeeds(links[1], FEED, cast("Stores", ports))
    readers = (
        FeedReader(stores, EDGE, FEED, breakers),
        FeedReader(copies, EDGE, FEED, breakers.of_replica()),
    )
    direct = Direct(stores, Hydrator(stores, EDGE, breakers), breakers, settings)
    ladder = Ladder(readers, direct, breakers, settings, stores.follow_cache)
    return Process(life, *nodes, durable, builds, breakers, ladder)


def answered() -> Counter[tuple[str, str]]:
    """Pages counted by this process, by what they are and where they come from."""
    (family,) = metrics.FEED_PAGES.collect()
    return Counter(
        {
            (sample.labels["completeness"], sample.labels["source"]): int(sample.value)
            for sample in family.samples
            if sample.name.endswith("_total")
        }
    )


def told(what: str, seconds: float, at: Process) -> None:
    slowest = max(each.seconds for each in at.answers)
    print(f"{what}: {seconds:.1f} s, slowest read {slowest:.1f} s")  # noqa: T201 - the measurement


async def test_a_primary_that_stops_answering_is_replaced_and_taken_back(at: Process) -> None:
    before = answered()
    want = [ids_of(await at.life.expected(viewer))[:LIMIT] for viewer in at.viewers]
    async with at.readers():
        with at.primary.stopped():
            told("switch-over to the replica", await at.served(Completeness.DEGRADED), at)
            assert at.breakers.states["redis"] is not State.CLOSED
            assert {tuple(post_ids(each.page)) for each in at.answers[-READERS:]} == set(
                map(tuple, want)
            )
        told("back on the primary", await at.served(Completeness.COMPLETE), at)
    assert at.builds.begun == READERS, "nothing was built again"
    limit_s = 2 * api_breakers.STORE_LIMIT_S + QUICK_S
    assert max(each.seconds for each in at.answers) < limit_s
    counts = answered() - before
    assert sum(counts.values()) == len(at.answers)
    degraded = sum(n for (what, _), n in counts.items() if what == "degraded")
    assert degraded == sum(each.page.completeness == "degraded" for each in at.answers)
    assert counts["degraded", Source.REPLICA] > 0


async def test_without_the_replica_too_the_last_pages_and_then_a_few_posts(at: Process) -> None:
    before = answered()
    async with at.readers():
        at.replica.kill()
        with at.primary.stopped():
            told("switch-over to kept pages", await at.served(Completeness.DEGRADED), at)
            for viewer in at.viewers:
                at.ladder.last.forget(viewer)

            async def directly() -> bool:
                return answered()["degraded", Source.DIRECT] > before["degraded", Source.DIRECT]

            await until(directly)
            shown = [each.page for each in at.answers[-READERS:] if each.page.posts]
            assert all(len(page.posts) == DIRECT_POSTS for page in shown)
        await at.served(Completeness.COMPLETE)
    counts = answered() - before
    assert counts["degraded", Source.KEPT] > 0
    assert at.builds.begun == READERS


async def test_a_cache_that_was_emptied_is_filled_a_few_at_a_time(at: Process) -> None:
    async with at.readers():
        at.primary.kill()
        await at.served(Completeness.DEGRADED)
        at.builds.begun = at.builds.most = 0
        await at.primary.start()
        await at.primary.call("FLUSHALL", "SYNC")  # the sync with its replica left a file
        told("built anew", await at.served(Completeness.COMPLETE), at)
    assert at.builds.begun == READERS, "one a reader"
    assert at.builds.most <= FEED.builds_at_once
