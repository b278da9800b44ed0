"""The hot side of reactions in Redis: `likes:{post_id}` and `counts:{post_id}` (seed section 7).

A set of likers carries the mark `!whole` when it holds all of them; without it, it is cold and
nothing may be concluded from it. Both keys live for a while after they were made or read.
"""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from domain.entities import Counts
from domain.settings import Feed
from stores.redis_client import renews, store_errors

_WHOLE = "!whole"

_PUT_LIKE = """
-- ARGV: user id, '1' to like. The number of likers, or nothing when the set is cold.
if redis.call('SISMEMBER', KEYS[1], '!whole') == 0 then return false end
redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', KEYS[1], ARGV[1])
return redis.call('SCARD', KEYS[1]) - 1
"""

_PUT_LIKERS = """
-- ARGV: 'NX' to leave a warm set alone, ttl in seconds, then the likers. Their number.
if ARGV[1] == 'NX' and redis.call('SISMEMBER', KEYS[1], '!whole') == 1 then return 0 end
redis.call('DEL', KEYS[1])
for i = 3, #ARGV, 1000 do
  redis.call('SADD', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('SADD', KEYS[1], '!whole')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('SCARD', KEYS[1]) - 1
"""


class RedisReactionCache:
    """`domain.ports.ReactionCache` over one Redis. All methods raise StoreAway or Transient."""

    def __init__(self, client: Redis, feed: Feed) -> None:
        self._redis = client
        self._ttl_s = feed.post_ttl_s
        self._put_like = client.register_script(_PUT_LIKE)
        self._put_likers = client.register_script(_PUT_LIKERS)

    async def hint_like(self, post_id: str, user_id: str, *, liked: bool) -> None:
        """Show the viewer their own click at once; the stage's write is the truth."""
        await self.put_like(post_id, user_id, liked=liked)

    async def put_like(self, post_id: str, user_id: str, *, liked: bool) -> int | None:
        """Apply to a warm set and give its size; None when the set is cold."""
        with store_errors():
            size = await self._put_like(keys=[_likes(post_id)], args=[user_id, int(liked)])
        return None if size is None else int(size)

    async def put_likers(self, post_id: str, likers: Sequence[str]) -> int:
        """Warm the set from the durable likes; its size."""
        with store_errors():
            size = await self._put_likers(keys=[_likes(post_id)], args=("", self._ttl_s, *likers))
        return int(size)

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts."""
        with store_errors():
            await self._redis.set(_counts(post_id), _spell(counts), ex=self._ttl_s)

    async def warm(self, found: Mapping[str, tuple[Counts, Sequence[str]]]) -> None:
        """Fill what is cold with durable counts and likers; what is there is newer and stays.

        A reader's durable read may be older than the stage's last write; but the stage leaves
        both keys warm behind every event, and applies to a set that a reader has warmed.
        """
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.scripts.add(self._put_likers)  # type: ignore[arg-type] # typed for the sync one
                for post_id, (counts, likers) in found.items():
                    args: list[str | int] = ["NX", self._ttl_s, *likers]
                    pipe.evalsha(self._put_likers.sha, 1, _likes(post_id), *args)
                    pipe.set(_counts(post_id), _spell(counts), ex=self._ttl_s, nx=True)
                await pipe.execute()

    async def get(
        self, post_ids: Sequence[str], viewer_id: str
    ) -> list[tuple[Counts | None, bool]]:
        """(counts or None when cold, liked by viewer) of each post, in one round trip.

        A post is cold when its counts or its set of likers are.
        """
        if not post_ids:
            return []
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.mget([_counts(post_id) for post_id in post_ids])
                for post_id in post_ids:
                    pipe.smismember(_likes(post_id), [viewer_id, _WHOLE])
                for post_id in post_ids if renews() else ():
                    pipe.expire(_counts(post_id), self._ttl_s)
                    pipe.expire(_likes(post_id), self._ttl_s)
                counts, *rest = await pipe.execute()
        return [
            (_read_counts(value), bool(liked)) if value and whole else (None, False)
            for value, (liked, whole) in zip(counts, rest[: len(post_ids)], strict=True)
        ]


def _likes(post_id: str) -> str:
    return f"likes:{post_id}"


def _counts(post_id: str) -> str:
    return f"counts:{post_id}"


def _spell(counts: Counts) -> str:
    return f"{counts.likes}:{counts.comments}"


def _read_counts(value: bytes) -> Counts:
    likes, comments = value.split(b":")
    return Counts(int(likes), int(comments))
