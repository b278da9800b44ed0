"""Ready bytes of posts and people: `post:{post_id}`, `user:{user_id}` (seed section 8)."""

import random
from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from domain.settings import Feed
from stores.redis_client import renews, store_errors

_JITTER = 0.1  # of the TTL, so that what was cached together doesn't expire together


class RedisPostCache:
    """`domain.ports.feeds.PostCache` over one Redis. All methods raise StoreAway or Transient."""

    def __init__(self, client: Redis, feed: Feed) -> None:
        self._redis = client
        self._ttl_s = feed.post_ttl_s

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The ready bytes of posts (`ph_…`) or people (`u_…`), None where absent.

        One round trip; some of them also renew the life of what is there.
        """
        if not keys:
            return []
        names = [_name(key) for key in keys]
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.mget(names)
                for name in names if renews() else ():
                    pipe.expire(name, self._life_s())
                found, *_ = await pipe.execute()
        return list(found)

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Fill what is absent, for the TTL with jitter; what is there is newer and stays."""
        await self._set(items, only_absent=True)

    async def replace(self, items: Mapping[str, bytes]) -> None:
        """Keep these whatever is there; no bytes say that there is no such post any more."""
        await self._set(items, only_absent=False)

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop them."""
        if keys:
            with store_errors():
                await self._redis.delete(*map(_name, keys))

    async def _set(self, items: Mapping[str, bytes], *, only_absent: bool) -> None:
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                for key, value in items.items():
                    pipe.set(_name(key), value, ex=self._life_s(), nx=only_absent)
                await pipe.execute()

    def _life_s(self) -> int:
        spread = 1 + _JITTER * random.random()  # noqa: S311 - spreads load, guards nothing
        return round(self._ttl_s * spread)


def _name(key: str) -> str:
    return f"user:{key}" if key.startswith("u_") else f"post:{key}"
