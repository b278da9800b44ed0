"""Ready bytes of posts and people: `post:{post_id}`, `user:{user_id}` (seed section 8)."""

import random
from collections.abc import Mapping, Sequence

from domain.settings import Feed
from stores.redis_commands import KEY, Template, ask, ask_each, ask_values
from stores.redis_server import RedisServer

_FORGET = Template(("DEL", KEY))
_JITTER = 0.1  # of the TTL, so that what was cached together doesn't expire together


class RedisPostCache:
    """`domain.ports.feeds.PostCache` over Redis. All methods raise StoreAway or Transient."""

    def __init__(self, redis: RedisServer, feed: Feed) -> None:
        self._redis = redis
        self._ttl_s = feed.post_ttl_s

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The ready bytes of posts (`ph_…`) or people (`u_…`), None where absent."""
        (found,) = await self._redis.ask(ask_values([ready_key(key) for key in keys]))
        return found

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Fill what is absent, for the TTL with jitter; what is there is newer and stays."""
        await self._set(items, only_absent=True)

    async def replace(self, items: Mapping[str, bytes]) -> None:
        """Keep these whatever is there; no bytes say that there is no such post any more."""
        await self._set(items, only_absent=False)

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop them."""
        await self._redis.ask(ask(_FORGET, [ready_key(key) for key in keys]))

    async def _set(self, items: Mapping[str, bytes], *, only_absent: bool) -> None:
        unless = ("NX",) if only_absent else ()
        named = {ready_key(key): value for key, value in items.items()}
        commands = {
            name: ("SET", name, value, "EX", self._life_s(), *unless)
            for name, value in named.items()
        }
        await self._redis.ask(ask_each(commands))

    def _life_s(self) -> int:
        spread = 1 + _JITTER * random.random()  # noqa: S311 - spreads load, guards nothing
        return round(self._ttl_s * spread)


POSTS, PEOPLE = "post:", "user:"
"""How the keys begin."""


def ready_key(key: str) -> str:
    """Where the ready bytes of a post or a person are."""
    return f"{PEOPLE if key.startswith('u_') else POSTS}{key}"
