"""The hot side of reactions in Redis: `likes:{post_id}` and `counts:{post_id}` (seed section 7).

A set of likers carries the mark `!whole` when it holds all of them; without it, it is cold and
nothing may be concluded from it. Both keys live for a while after they were made or read. A click
of the last few seconds is in `clicked:{user_id}:{post_id}`, for that user's eyes alone.
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


_NOTE_CLICK = """
-- ARGV: event id and '1' for a like, ttl in seconds. Event ids sort by time: the newest stays.
local known = redis.call('GET', KEYS[1])
if not known or known < ARGV[1] then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
"""

CLICK_TTL_S = 10
"""Longer than the stage lags behind as a rule; after it, what is counted is shown."""


class RedisReactionCache:
    """The port `ReactionCache` over one Redis. All methods raise StoreAway or Transient."""

    def __init__(self, client: Redis, feed: Feed) -> None:
        self._redis = client
        self._ttl_s = feed.post_ttl_s
        self._put_like = client.register_script(_PUT_LIKE)
        self._note_click = client.register_script(_NOTE_CLICK)
        self._put_likers = client.register_script(_PUT_LIKERS)

    async def note_click(self, post_id: str, user_id: str, event_id: str, *, liked: bool) -> None:
        """Keep for a few seconds what a viewer clicked; only they see it. The newest event wins."""
        with store_errors():
            await self._note_click(
                keys=[_clicked(user_id, post_id)], args=[f"{event_id}{liked:d}", CLICK_TTL_S]
            )

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
    ) -> list[tuple[Counts | None, bool, bool | None]]:
        """(counts or None when cold, liked by viewer, their click) of each post, in one trip.

        A post is cold when its counts or its set of likers are.
        """
        if not post_ids:
            return []
        with store_errors():
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.mget([_counts(post_id) for post_id in post_ids])
                pipe.mget([_clicked(viewer_id, post_id) for post_id in post_ids])
                for post_id in post_ids:
                    pipe.smismember(_likes(post_id), [viewer_id, _WHOLE])
                for post_id in post_ids if renews() else ():
                    pipe.expire(_counts(post_id), self._ttl_s)
                    pipe.expire(_likes(post_id), self._ttl_s)
                counts, clicks, *rest = await pipe.execute()
        marks, found = rest[: len(post_ids)], map(_read_click, clicks)
        return [
            (_read_counts(value), bool(liked), click) if value and whole else (None, False, click)
            for value, (liked, whole), click in zip(counts, marks, found, strict=True)
        ]


def _likes(post_id: str) -> str:
    return f"likes:{post_id}"


def _counts(post_id: str) -> str:
    return f"counts:{post_id}"


def _clicked(user_id: str, post_id: str) -> str:
    return f"clicked:{user_id}:{post_id}"


def _read_click(value: bytes | None) -> bool | None:
    return None if value is None else value.endswith(b"1")


def _spell(counts: Counts) -> str:
    return f"{counts.likes}:{counts.comments}"


def _read_counts(value: bytes) -> Counts:
    likes, comments = value.split(b":")
    return Counts(int(likes), int(comments))
