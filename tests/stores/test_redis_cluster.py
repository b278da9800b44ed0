"""A Redis Cluster whose slots move and whose nodes go: nothing is lost or answered wrongly."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import count

import pytest
from redis.crc import key_slot
from redis.exceptions import ResponseError

from domain.entities import FeedEntry
from domain.errors import StoreAway, Transient
from domain.ids import spell
from domain.settings import Feed
from stores.redis_cluster import RedisCluster
from stores.redis_commands import KEY, Template, ask
from stores.redis_timelines import RedisTimelines
from tests.fresh import fresh_id
from tests.redis_nodes import RedisNode, redis_cluster, redis_nodes
from tests.waiting import until

FEED = Feed(cap=100, trim_slack=10)
AUTHOR = fresh_id("u_")


@pytest.fixture(scope="module")
async def nodes() -> AsyncIterator[list[RedisNode]]:
    async with redis_cluster() as started:
        yield started


@pytest.fixture
async def cluster(nodes: list[RedisNode]) -> AsyncIterator[RedisCluster]:
    opened = RedisCluster([nodes[0].address])
    yield opened
    await opened.close()


@pytest.fixture
def timelines(cluster: RedisCluster) -> RedisTimelines:
    return RedisTimelines(cluster, FEED)


def post(number: int) -> FeedEntry:
    return FeedEntry(1_800_000_000_000 + number, f"ph_{spell(number)}", AUTHOR)


def slot_of(user: str) -> int:
    return key_slot(f"feed:{user}".encode())


class Move:
    """A slot on its way from the node that has it to another, as operators' tools move it."""

    def __init__(self, slot: int, nodes: list[RedisNode], source: RedisNode) -> None:
        self.slot, self.nodes, self.source = slot, nodes, source
        self.target = nodes[nodes.index(source) - 1]

    @classmethod
    async def of(cls, slot: int, nodes: list[RedisNode]) -> "Move":
        port = await owner(slot, nodes[0])
        return cls(slot, nodes, next(node for node in nodes if node.port == port))

    async def begin(self) -> None:
        source, target = [await node.call("CLUSTER", "MYID") for node in (self.source, self.target)]
        await self.target.call("CLUSTER", "SETSLOT", self.slot, "IMPORTING", source.decode())
        await self.source.call("CLUSTER", "SETSLOT", self.slot, "MIGRATING", target.decode())

    async def carry(self, limit: int) -> None:
        """Move so many of its keys."""
        for key in await self.source.call("CLUSTER", "GETKEYSINSLOT", self.slot, limit):
            where = ("127.0.0.1", self.target.port, key.decode(), 0, 5000)
            await self.source.call("MIGRATE", *where)

    async def end(self) -> None:
        """All nodes are told, the new owner first; again where their own talk crossed it."""
        name = (await self.target.call("CLUSTER", "MYID")).decode()

        async def agreed() -> bool:
            for node in sorted(self.nodes, key=lambda node: node is not self.target):
                await node.call("CLUSTER", "SETSLOT", self.slot, "NODE", name)
            await asyncio.sleep(0.05)
            return {await owner(self.slot, node) for node in self.nodes} == {self.target.port}

        await until(agreed)


async def owner(slot: int, node: RedisNode) -> int:
    """The port of the node that has a slot, as one of them sees it."""
    ranges = await node.call("CLUSTER", "SLOTS")
    return int(next(has[1] for first, last, has, *_ in ranges if first <= slot <= last))


async def redirections(node: RedisNode) -> int:
    """How often a node has answered MOVED."""
    lines = (await node.call("INFO", "errorstats")).splitlines()
    counts = [line.rpartition(b"=")[2] for line in lines if line.startswith(b"errorstat_MOVED")]
    return sum(map(int, counts))


async def build(timelines: RedisTimelines, user: str, content: list[FeedEntry]) -> None:
    assert await timelines.finish_build(user, await timelines.begin_build(user), content)


async def read(timelines: RedisTimelines, users: list[str]) -> list[list[FeedEntry] | None]:
    pages = await timelines.pages(users, None, 100)
    return [None if page is None else page.entries for page in pages]


async def test_feeds_of_a_slot_on_its_way_are_found_where_they_are(
    nodes: list[RedisNode], timelines: RedisTimelines
) -> None:
    """One still there, one already gone, one made meanwhile; then all moved (ASK, then MOVED)."""
    first = fresh_id("u_")
    same = (user for _ in count() if slot_of(user := fresh_id("u_")) == slot_of(first))
    users = [first, next(same), next(same)]
    for user in users[:2]:
        await build(timelines, user, [post(1)])
    move = await Move.of(slot_of(first), nodes)
    await move.begin()
    await move.carry(1)
    assert await read(timelines, users) == [[post(1)], [post(1)], None]
    assert await timelines.push(post(2), users) == 2
    await build(timelines, users[2], [post(1)])
    for number in range(3, 3 + 20):  # beyond the size below which a script pushes
        assert await timelines.push(post(number), users) == 3
    whole = [post(number) for number in range(22, 0, -1)]
    assert await read(timelines, users) == [whole, whole, [*whole[:-2], post(1)]]
    await move.carry(100)
    assert await read(timelines, users) == [whole, whole, [*whole[:-2], post(1)]]
    await move.end()
    assert await timelines.push(post(23), users) == 3
    redirected = await redirections(move.source)
    assert await read(timelines, users[:1]) == [[post(23), *whole]]
    assert await redirections(move.source) == redirected > 0, "the map was read anew"
    left = await move.source.call("CLUSTER", "COUNTKEYSINSLOT", move.slot)
    assert left == 0, "nothing was written where the slot had been"


async def test_slots_move_while_posts_are_pushed(
    nodes: list[RedisNode], timelines: RedisTimelines
) -> None:
    users = [fresh_id("u_") for _ in range(100)]
    for user in users:
        await build(timelines, user, [])
    pushed: list[FeedEntry] = []
    moved = asyncio.Event()

    async def push() -> None:
        while not moved.is_set() or len(pushed) < 30:
            entry = post(len(pushed))
            assert await timelines.push(entry, users) == len(users)
            pushed.append(entry)

    pushing = asyncio.create_task(push())
    for user in users[:25]:
        move = await Move.of(slot_of(user), nodes)
        await move.begin()
        await move.carry(100)
        await move.end()
    moved.set()
    await pushing
    newest = pushed[::-1][: FEED.cap]
    assert all(found and found[:50] == newest[:50] for found in await read(timelines, users))


async def test_a_node_that_dies_is_away_and_is_found_when_it_is_back(
    nodes: list[RedisNode], timelines: RedisTimelines
) -> None:
    users = [fresh_id("u_") for _ in range(50)]
    for user in users:
        await build(timelines, user, [post(1)])
    nodes[1].kill()
    with pytest.raises(StoreAway):
        await timelines.pages(users, None, 10)
    await nodes[1].start()

    async def answers() -> bool:
        try:
            return len(await read(timelines, users)) == len(users)
        except Transient:
            return False

    await until(answers)
    found = await read(timelines, users)
    assert None in found, "what the node had is cold"
    assert [post(1)] in found
    assert await timelines.push(post(2), users) == sum(feed is not None for feed in found)


async def test_a_node_that_only_told_of_the_slots_is_not_waited_for(nodes: list[RedisNode]) -> None:
    """It is known by a name of its own, as a cluster's service is, or has no slots any more."""
    cluster = RedisCluster([f"localhost:{nodes[0].port}"])
    cluster.listen(lambda _: None)
    await cluster.call("GET", "a")
    await asyncio.sleep(0.2)
    before = time.monotonic()
    await cluster.ask(ask(Template(("EXISTS", KEY)), [f"key{number}" for number in range(64)]))
    assert cluster.heard_at >= before
    await cluster.close()


async def test_what_was_read_where_a_slot_was_is_let_go(nodes: list[RedisNode]) -> None:
    """Nobody tells of a key that came to be where the slot is now."""
    told: list[bytes | None] = []
    cluster = RedisCluster([nodes[0].address])
    cluster.listen(told.append)
    key = fresh_id("clicked:u_")
    await cluster.call("HGETALL", key)
    move = await Move.of(key_slot(key.encode()), nodes)
    await move.begin()
    await move.end()
    told.clear()
    await cluster.call("HGETALL", key)
    assert None in told
    await cluster.close()


async def test_without_any_node_the_cluster_is_away() -> None:
    cluster = RedisCluster(["127.0.0.1:9"])
    with pytest.raises(StoreAway, match="no map"):
        await cluster.call("GET", "a")
    await cluster.close()


async def test_a_replica_that_took_over_is_found() -> None:
    """The node that had the slots is gone for good; the map is read from one that lives."""
    async with redis_cluster() as masters, redis_nodes(1, clustered=True) as (heir,):
        await join(heir, masters)
        cluster = RedisCluster([node.address for node in masters])
        feeds = RedisTimelines(cluster, FEED)
        users = [fresh_id("u_") for _ in range(50)]
        for user in users:
            await build(feeds, user, [post(1)])
        await until(partial(has_all_of, heir, masters[0]))
        masters[0].kill()
        with pytest.raises(StoreAway):
            await feeds.push(post(2), users)
        await heir.call("CLUSTER", "FAILOVER", "TAKEOVER")

        async def pushed() -> bool:
            try:
                return await feeds.push(post(2), users) == len(users)
            except Transient:
                return False

        await until(pushed)
        assert await read(feeds, users) == [[post(2), post(1)]] * len(users)
        await cluster.close()


async def join(heir: RedisNode, masters: list[RedisNode]) -> None:
    """As a replica of the first."""
    first = masters[0]
    await heir.call("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus_port)
    name = (await first.call("CLUSTER", "MYID")).decode()

    async def replicates() -> bool:
        try:
            await heir.call("CLUSTER", "REPLICATE", name)
        except ResponseError:  # it hasn't heard of its master yet
            return False
        return True

    await until(replicates)


async def has_all_of(heir: RedisNode, master: RedisNode) -> bool:
    told = [(await node.call("INFO", "replication")).splitlines() for node in (heir, master)]
    ends = [[line for line in lines if b"_repl_offset:" in line] for lines in told]
    own = {line.rpartition(b":")[2] for lines in ends for line in lines if line[:5] != b"secon"}
    return b"master_link_status:up" in told[0] and len(own) == 1
