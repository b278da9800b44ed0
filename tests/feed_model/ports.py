"""What the model runs on: every port as a twin, or on real servers; both can lose their cache."""

from functools import cached_property

from domain.ports.log import Outbox
from domain.secrets import Secrets
from domain.settings import Feed, Settings
from stores.connect import Stores
from stores.memory.cassandra import MemoryMediaRefs
from stores.memory.s3 import MemoryObjects
from stores.postgres_outbox import PostgresOutbox
from stores.postgres_pool import PostgresPool
from stores.redis_cluster import RedisCluster
from stores.redis_server import RedisServer
from tests.feed_twins import FeedTwins
from tests.redis_nodes import RedisNode

FEED = Feed(cap=20, trim_slack=3, celebrity_threshold=3, chunk_followers=2, pull_heads_s=0)
"""So small that feeds are trimmed, and people become celebrities, all the time."""
KEEPING_HEADS = FEED.model_copy(update={"pull_heads_s": 3600.0})
"""The API keeps the heads of pull lists for as long as it lives."""


class NoPictures:
    """The pictures' cache, for posts that have none."""

    async def purge(self, paths: object) -> None:
        raise AssertionError(paths)


class Twins(FeedTwins):
    """Everything in memory."""

    def __init__(self, feed: Feed = FEED) -> None:
        super().__init__(feed)
        self.settings = Settings(feed=feed)
        self.media_refs = MemoryMediaRefs()
        self.objects = MemoryObjects()
        self.edge = NoPictures()

    async def flush(self) -> None:
        for table, key in self._keys():
            table.pop(key, None)

    async def evict(self, number: int) -> None:
        if keys := self._keys():
            table, key = keys[number % len(keys)]
            table.pop(key, None)

    def _keys(self) -> list[tuple[dict[object, object], object]]:
        """Every key of every dictionary in the twins of the cache."""
        caches = (self.timelines, self.pulls, self.follow_cache, self.post_cache)
        tables = [
            table
            for cache in (*caches, self.reaction_cache)
            for table in vars(cache).values()
            if isinstance(table, dict)
        ]
        return [(table, key) for table in tables for key in table]


class Servers(Stores):
    """The real adapters; the cache and the database are this test's own, the pictures nobody's."""

    def __init__(
        self, settings: Settings, secrets: Secrets, nodes: list[RedisNode], dsn: str
    ) -> None:
        super().__init__(settings, secrets)
        self._nodes = nodes
        self._dsn = dsn

    @cached_property
    def redis_server(self) -> RedisServer:
        one = len(self._nodes) == 1
        server = RedisServer.at(self._nodes[0].url) if one else self._cluster()
        self._opened.push_async_callback(server.close)
        return server

    def _cluster(self) -> RedisCluster:
        return RedisCluster(tuple(node.address for node in self._nodes))

    @cached_property
    def postgres(self) -> PostgresPool:
        pool = PostgresPool(self._dsn)
        self._opened.push_async_callback(pool.close)
        return pool

    @cached_property
    def outbox(self) -> Outbox:
        outbox = PostgresOutbox(self._dsn)
        self._opened.push_async_callback(outbox.close)
        return outbox

    @cached_property
    def objects(self) -> MemoryObjects:
        return MemoryObjects()

    @cached_property
    def edge(self) -> NoPictures:  # type: ignore[override] # posts have no pictures here
        return NoPictures()

    async def flush(self) -> None:
        for node in self._nodes:
            await node.call("FLUSHALL", "SYNC")

    async def evict(self, number: int) -> None:
        node = self._nodes[number % len(self._nodes)]
        keys = await node.call("KEYS", "*")
        assert isinstance(keys, list)
        if keys:
            await node.call("DEL", sorted(map(bytes.decode, keys))[number % len(keys)])


Ports = Twins | Servers
