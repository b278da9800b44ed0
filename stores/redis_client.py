"""How long anything waits for Redis, and the library's own client, for counting calls."""

from typing import Any

from limits.aio.storage import RedisClusterStorage, RedisStorage
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError

from domain.settings import Settings

CONNECT_LIMIT_S = 0.5
ANSWER_LIMIT_S = 2.0


class _Cluster(RedisClusterStorage):
    """The library's, which doesn't know what the client says when no node answers."""

    @property
    def base_exceptions(self) -> tuple[type[Exception], ...]:
        """What is wrapped in StorageError."""
        return (RedisError, RedisClusterException)


class CallCounts:
    """Where the fleet's calls are counted, on one server or a cluster; connects when first asked.

    One immediate retry covers a connection that a restarted server has closed.
    """

    def __init__(self, settings: Settings) -> None:
        nodes = settings.redis.cluster_nodes
        kind = _Cluster if nodes else RedisStorage
        retry: Any = Retry(NoBackoff(), 1)  # options are handed to the client as they are
        self.storage = kind(
            f"async+redis+cluster://{','.join(nodes)}" if nodes else f"async+{settings.redis_url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix="ratelimit",
            socket_connect_timeout=CONNECT_LIMIT_S,
            socket_timeout=ANSWER_LIMIT_S,
            retry=retry,
        )

    async def close(self) -> None:
        """Close its connections."""
        bridge: Any = self.storage.bridge  # its type doesn't tell that it has the client
        await bridge.storage.aclose()
