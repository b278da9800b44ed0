"""Feeds while their Redis is killed, stopped or emptied in the middle of batches."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.entities import FeedEntry
from domain.errors import StoreAway, Transient
from domain.ids import spell
from domain.settings import Feed
from stores import redis_wire
from stores.redis_commands import Ask, Template, ask
from stores.redis_server import RedisServer
from stores.redis_timelines import RedisTimelines
from stores.redis_wire import Reply
from tests.fresh import fresh_id
from tests.redis_nodes import RedisNode, redis_nodes

FEED = Feed(cap=200, trim_slack=20)
AUTHOR = fresh_id("u_")
T0 = 1_800_000_000_000


@pytest.fixture
async def node() -> AsyncIterator[RedisNode]:
    async with redis_nodes(1) as (started,):
        yield started


@pytest.fixture
async def timelines(node: RedisNode) -> AsyncIterator[RedisTimelines]:
    server = RedisServer.at(node.url)
    yield RedisTimelines(server, FEED)
    await server.close()


def entries(count: int) -> list[FeedEntry]:
    """Newest first."""
    return [
        FeedEntry(T0 + number, f"ph_{spell(number)}", AUTHOR) for number in reversed(range(count))
    ]


async def build(timelines: RedisTimelines, users: list[str], content: list[FeedEntry]) -> None:
    for user in users:
        assert await timelines.finish_build(user, await timelines.begin_build(user), content)


async def test_a_server_that_restarts_in_the_middle_of_batches_leaves_no_half_feed(
    node: RedisNode, timelines: RedisTimelines
) -> None:
    """It comes back empty: a feed is cold or whole, never built and short."""
    users = [fresh_id("u_") for _ in range(600)]
    content = entries(30)
    for _ in range(3):
        await build(timelines, users, content[1:])
        pushing = asyncio.create_task(push_until_done(timelines, content[0], users))
        await asyncio.sleep(0.002)
        node.kill()
        await node.start()
        await pushing
        pages = await timelines.pages(users, None, 50)
        assert {page and page.entries == content for page in pages} <= {None, True}
        await timelines.push(content[0], users)  # it finds what the first was late for
        left = [await timelines.exists(user) for user in users]
        assert left == [page is not None for page in pages]


async def push_until_done(timelines: RedisTimelines, entry: FeedEntry, users: list[str]) -> None:
    """As the stage does it: again, until it is acknowledged."""
    async with asyncio.timeout(20):
        while True:
            try:
                await timelines.push(entry, users)
            except Transient:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_server_that_stops_answering_is_away_and_then_itself_again(
    node: RedisNode, timelines: RedisTimelines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked before is not taken for the answer to what is asked afterwards."""
    monkeypatch.setattr(redis_wire, "ANSWER_LIMIT_S", 0.3)
    users = [fresh_id("u_") for _ in range(40)]
    for number, user in enumerate(users):
        await build(timelines, [user], entries(number + 1))
    with node.stopped():
        calls = [asyncio.create_task(timelines.page(user, None, 50)) for user in users]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(result) for result in results} == {StoreAway}
    pages = await asyncio.gather(*(timelines.page(user, None, 50) for user in users))
    assert [page and page.entries for page in pages] == [
        entries(number + 1) for number in range(len(users))
    ]


class Emptied(RedisServer):
    """Loses everything after it has been asked `left` times."""

    left = -1

    async def ask(self, *asks: Ask) -> list[list[Reply]]:
        answers = await super().ask(*asks)
        self.left -= 1
        if self.left == 0:
            await super().ask(ask(Template(("FLUSHALL", "SYNC")), ["all"]))
        return answers


async def test_a_push_that_comes_too_late_leaves_nothing_behind(node: RedisNode) -> None:
    """Between a push's two trips the sets go: what it adds is no feed, and goes at the next."""
    server = Emptied.at(node.url)
    timelines = RedisTimelines(server, FEED)
    users = [fresh_id("u_") for _ in range(100)]
    content = entries(30)
    await build(timelines, users, content[2:])
    server.left = 1
    assert await timelines.push(content[1], users) == len(users)
    assert len(await node.call("KEYS", "*")) == len(users), "it was too late"
    assert not any(await timelines.pages(users, None, 5)), "cold"
    assert await timelines.push(content[0], users) == 0
    assert await node.call("KEYS", "*") == []
    await server.close()


async def test_a_full_server_refuses_pushes_and_answers_reads(
    node: RedisNode, timelines: RedisTimelines
) -> None:
    users = [fresh_id("u_") for _ in range(50)]
    content = entries(30)
    await build(timelines, users, content[1:])
    await node.call("CONFIG", "SET", "maxmemory", 1)
    with pytest.raises(Transient, match="OOM"):
        await timelines.push(content[0], users)
    pages = await timelines.pages(users, None, 50)
    assert [page and page.entries for page in pages] == [content[1:]] * len(users)
    await node.call("CONFIG", "SET", "maxmemory", 0)
    assert await timelines.push(content[0], users) == len(users)


async def test_a_replica_is_read_and_refuses_pushes(
    node: RedisNode, timelines: RedisTimelines
) -> None:
    """Reading renews lives, which a replica refuses: the page comes all the same."""
    user = fresh_id("u_")
    await build(timelines, [user], entries(30))
    await node.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
    await node.call("REPLICAOF", "127.0.0.1", 1)
    page = await timelines.page(user, None, 50)
    assert page is not None
    assert page.entries == entries(30)
    with pytest.raises(Transient, match="READONLY"):
        await timelines.push(entries(31)[0], [user])
