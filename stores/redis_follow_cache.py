"""Follow sets, follower counts and celebrity flags in Redis (seed sections 7 and 8).

`following:{user_id}` is a set that carries its own marks, as the feeds do: `!whole` makes it
usable (also when it is empty otherwise), `!reading:<token>` is a graph read under way. Forgetting
deletes both, so a read that began before a change can't be written back after it.
"""

import secrets
from collections.abc import Sequence

from domain.settings import Feed
from stores.redis_commands import KEY, Script, Template, Word, ask
from stores.redis_server import RedisServer

WHOLE = "!whole"
_READING = "!reading:"

_PUT_FOLLOWING = Script("""
-- KEYS[1]: the set; ARGV: the reader's mark, ttl in seconds, then the followees.
if redis.call('SREM', KEYS[1], ARGV[1]) == 0 then return 0 end
for i = 3, #ARGV, 1000 do
  redis.call('SADD', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('SADD', KEYS[1], '!whole')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
""")


class RedisFollowCache:
    """`domain.ports.graph.FollowCache` over Redis. All methods raise StoreAway or Transient."""

    def __init__(self, redis: RedisServer, feed: Feed) -> None:
        self._redis = redis
        self._ttl_s = feed.following_ttl_s

    async def following(self, user_id: str) -> frozenset[str] | None:
        """The cached follow set; None when it must be read from the graph."""
        found = await self._redis.call("SMEMBERS", following_key(user_id))
        names = {name.decode() for name in found}
        return frozenset(n for n in names if n[0] != "!") if WHOLE in names else None

    async def put_following(self, user_id: str, followees: Sequence[str], token: str) -> None:
        """Cache the follow set for its TTL, unless `forget_following` came since the token.

        The TTL is never renewed by reading: it is what bounds a lost invalidation.
        """
        args: tuple[Word, ...] = (_READING + token, self._ttl_s, *followees)
        await self._redis.run(_PUT_FOLLOWING, {following_key(user_id): args})

    async def following_token(self, user_id: str) -> str:
        """Taken before reading the graph, shown to `put_following`."""
        token = secrets.token_hex(8)
        begin = Template(
            ("MULTI",),
            ("SADD", KEY, _READING + token),
            ("EXPIRE", KEY, self._ttl_s, "NX"),
            ("EXEC",),
        )
        await self._redis.ask(ask(begin, [following_key(user_id)]))
        return token

    async def forget_following(self, user_id: str) -> None:
        """Invalidate after a change of the graph."""
        await self._redis.call("DEL", following_key(user_id))

    async def put_follower_count(self, user_id: str, followers: int) -> None:
        """Keep the absolute follower count."""
        await self._redis.call("SET", f"followers:{user_id}", followers)

    async def follower_count(self, user_id: str) -> int | None:
        """The count, None when unknown here."""
        value = await self._redis.call("GET", f"followers:{user_id}")
        return None if value is None else int(value)

    async def put_celebrity(self, user_id: str, *, flagged: bool) -> None:
        """Mirror the sticky flag."""
        await self._redis.call("SET", f"celebrity:{user_id}", int(flagged))

    async def is_celebrity(self, user_id: str) -> bool | None:
        """The mirrored flag, None when unknown here."""
        value = await self._redis.call("GET", f"celebrity:{user_id}")
        return None if value is None else bool(value == b"1")


FOLLOWING = "following:"
"""How the keys begin."""


def following_key(user_id: str) -> str:
    """Where a follow set is."""
    return f"{FOLLOWING}{user_id}"
