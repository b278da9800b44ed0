"""I1 to I4, I6, I10: the whole life of feeds against an oracle that a person reads in a minute.

Hypothesis chooses what people do, what workers get to and in which order, whom to kill before
which call of a store, what comes twice and what the cache loses (`tests/feed_model/machine.py`).
After every step somebody reads all pages of a feed: what is certain (`oracle.py`) is there once,
nothing that can't be is, and pages of walks that began earlier fit what has happened since. In the
end everything is settled, and every feed is the oracle's: by pages of any size, with words, likes
and counts, as sets above their floors, and rebuilt.

The stages' handlers are called directly, made by the topology as workers make them.

`FEED_MODEL_SECONDS` makes each test go on for so long, at most a million steps (`make soak`).
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from domain.secrets import Secrets
from domain.settings import Feed, Settings
from stores import migrate
from tests.databases import new_database
from tests.feed_model.life import Life
from tests.feed_model.machine import PEOPLE, FeedMachine
from tests.feed_model.ports import FEED, KEEPING_HEADS, Servers, Twins
from tests.redis_nodes import RedisNode, redis_cluster, redis_nodes

CALL_LIMIT_S = 120.0
MOST_STEPS = 1_000_000
SECONDS = float(os.environ.get("FEED_MODEL_SECONDS", "0"))

pytestmark = pytest.mark.timeout(SECONDS + 600)  # Hypothesis shrinks what it finds for five minutes


def live(make: Callable[[], FeedMachine], at_least: int, machines: int, steps: int) -> int:
    """Machines one after the other, so many a run of Hypothesis; the steps of all."""
    made: list[FeedMachine] = []

    def one() -> FeedMachine:
        made.append(make())
        return made[-1]

    def lived() -> int:
        return sum(machine.steps for machine in made)

    how = settings(
        max_examples=machines,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    until = time.monotonic() + SECONDS
    while lived() < at_least or (time.monotonic() < until and lived() < MOST_STEPS):
        run_state_machine_as_test(cast("type[FeedMachine]", one), settings=how)
    return lived()


@pytest.mark.parametrize("feed", [FEED, KEEPING_HEADS], ids=["heads read", "heads kept"])
def test_every_feed_is_the_oracles_on_twins(feed: Feed) -> None:
    loop = asyncio.new_event_loop()

    def make() -> FeedMachine:
        return FeedMachine(partial(Life.begin, Twins(feed), PEOPLE), loop.run_until_complete)

    assert live(make, at_least=5000, machines=80, steps=100) >= 5000
    loop.close()


@pytest.fixture(params=["one server", "cluster"])
async def nodes(request: pytest.FixtureRequest) -> AsyncIterator[list[RedisNode]]:
    async with redis_cluster() if request.param == "cluster" else redis_nodes(1) as found:
        yield found


@pytest.fixture
async def servers(settings: Settings, nodes: list[RedisNode]) -> AsyncIterator[Servers]:
    """Real PostgreSQL and Cassandra of the stack, a database and a cache of this test's own."""
    with new_database(settings) as dsn:
        await migrate.migrate_postgres(dsn)
        own = settings.model_copy(update={"feed": FEED})
        servers = Servers(own, Secrets.load(settings.run_dir), nodes, dsn)
        yield servers
        await servers.close()


async def test_every_feed_is_the_oracles_on_servers(servers: Servers) -> None:
    loop = asyncio.get_running_loop()

    def make() -> FeedMachine:
        return FeedMachine(
            partial(Life.begin, servers, PEOPLE),
            lambda step: asyncio.run_coroutine_threadsafe(step, loop).result(CALL_LIMIT_S),
        )

    lived = await asyncio.to_thread(live, make, at_least=300, machines=5, steps=60)
    assert lived >= 300
