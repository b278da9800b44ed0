"""The fan-out worker of the system's description, as its pseudocode writes it, on redis-py.

A pipeline for a page of followers (redis-py's default: a transaction), and in it for each follower
ZADD and ZREMRANGEBYRANK to the cap.
"""

from collections.abc import Sequence
from typing import Any

import redis
from redis._parsers import _RESP2Parser
from redis.connection import PythonRespSerializer


class SeedFeeds:
    """`fan_out_to_followers`, a page at a time.

    `compiled` is redis-py with hiredis; without it, redis-py as it is when installed alone.
    """

    def __init__(self, port: int, database: int, cap: int, *, compiled: bool) -> None:
        plain: dict[str, Any] = (
            {"parser_class": _RESP2Parser, "protocol": 2} if not compiled else {}
        )
        pool = redis.ConnectionPool(host="127.0.0.1", port=port, db=database, **plain)
        if not compiled:
            packer = PythonRespSerializer(6000, pool.get_encoder().encode)
            pool.connection_kwargs["command_packer"] = packer
        self._redis = redis.Redis(connection_pool=pool)
        self._cap = cap

    def deliver(self, post_id: str, at_ms: int, followers: Sequence[str]) -> None:
        """One page of a post's followers."""
        with self._redis.pipeline() as pipe:
            for follower in followers:
                pipe.zadd(f"feed:{follower}", {post_id: at_ms})
                pipe.zremrangebyrank(f"feed:{follower}", 0, -(self._cap + 1))
            pipe.execute()

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()


class ClientPipeline:
    """Commands through redis-py's pipeline instead of a plain connection."""

    def __init__(self, port: int, database: int) -> None:
        self._redis = redis.Redis(port=port, db=database)

    def pipeline(self, commands: Sequence[tuple[str | bytes, ...]]) -> list[object]:
        """All of them, without a transaction."""
        with self._redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)  # type: ignore[no-untyped-call] # it has no types
            return list(pipe.execute())

    def close(self) -> None:
        """Let go of the connection."""
        self._redis.close()
