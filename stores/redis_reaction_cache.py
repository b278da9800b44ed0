"""The hot side of reactions in Redis: `likes:{post_id}` and `counts:{post_id}` (seed section 7).

A set of likers carries the mark `!whole` when it holds all of them; without it, it is cold and
nothing may be concluded from it. Both keys live for a while after they were made or read. A user's
clicks of the last few seconds are in the hash `clicked:{user_id}`, for their eyes alone.
"""

import time
from collections.abc import Mapping, Sequence
from functools import lru_cache

from domain.entities import Counts
from domain.ids import compose, spell
from domain.settings import Feed
from stores.redis_commands import KEY, Script, Template, Word, ask, ask_each, ask_values
from stores.redis_server import RedisServer

WHOLE = "!whole"

_PUT_LIKE = Script("""
-- ARGV: user id, '1' to like. The number of likers, or nothing when the set is cold.
if redis.call('SISMEMBER', KEYS[1], '!whole') == 0 then return false end
redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', KEYS[1], ARGV[1])
return redis.call('SCARD', KEYS[1]) - 1
""")

_PUT_LIKERS = Script("""
-- ARGV: 'NX' to leave a warm set alone, ttl in seconds, then the likers. Their number.
if ARGV[1] == 'NX' and redis.call('SISMEMBER', KEYS[1], '!whole') == 1 then return 0 end
redis.call('DEL', KEYS[1])
for i = 3, #ARGV, 1000 do
  redis.call('SADD', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('SADD', KEYS[1], '!whole')
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('SCARD', KEYS[1]) - 1
""")


_NOTE_CLICK = Script("""
-- ARGV: post id, event id and '1' for a like, ttl in seconds, the event id before which all is old.
-- Event ids sort by time: the newest of a post stays. They sort by bytes: `<` sorts as the server's
-- language does.
local function before(one, other)
  for i = 1, #one do
    local left, right = string.byte(one, i), string.byte(other, i) or 0
    if left ~= right then return left < right end
  end
  return #one < #other
end
local kept = redis.call('HGETALL', KEYS[1])
for i = 1, #kept, 2 do
  if before(kept[i + 1], ARGV[4]) then redis.call('HDEL', KEYS[1], kept[i]) end
end
local known = redis.call('HGET', KEYS[1], ARGV[1])
if not known or before(known, ARGV[2]) then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
""")

CLICK_TTL_S = 10
"""Longer than the stage lags behind as a rule; after it, what is counted is shown."""


class RedisReactionCache:
    """The port `ReactionCache` over Redis. All methods raise StoreAway or Transient."""

    def __init__(self, redis: RedisServer, feed: Feed) -> None:
        self._redis = redis
        self._ttl_s = feed.post_ttl_s

    async def note_click(self, post_id: str, user_id: str, event_id: str, *, liked: bool) -> None:
        """Keep for a few seconds what a viewer clicked; only they see it. The newest event wins."""
        args = (post_id, f"{event_id}{liked:d}", CLICK_TTL_S, _long_ago())
        await self._redis.run(_NOTE_CLICK, {clicked_key(user_id): args})

    async def put_like(self, post_id: str, user_id: str, *, liked: bool) -> int | None:
        """Apply to a warm set and give its size; None when the set is cold."""
        (size,) = await self._redis.run(_PUT_LIKE, {likes_key(post_id): (user_id, int(liked))})
        return None if size is None else int(size)

    async def put_likers(self, post_id: str, likers: Sequence[str]) -> int:
        """Warm the set from the durable likes; its size."""
        args: tuple[Word, ...] = ("", self._ttl_s, *likers)
        (size,) = await self._redis.run(_PUT_LIKERS, {likes_key(post_id): args})
        return int(size)

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts."""
        await self._redis.call("SET", counts_key(post_id), _spell(counts), "EX", self._ttl_s)

    async def warm(self, found: Mapping[str, tuple[Counts, Sequence[str]]]) -> None:
        """Fill what is cold with durable counts and likers; what is there is newer and stays.

        A reader's durable read may be older than the stage's last write; but the stage leaves
        both keys warm behind every event, and applies to a set that a reader has warmed.
        """
        head: tuple[Word, ...] = ("NX", self._ttl_s)
        sets = {likes_key(post): (*head, *who) for post, (_, who) in found.items()}
        await self._redis.run(_PUT_LIKERS, sets)
        named = {counts_key(post): _spell(counts) for post, (counts, _) in found.items()}
        commands = {
            name: ("SET", name, text, "EX", self._ttl_s, "NX") for name, text in named.items()
        }
        await self._redis.ask(ask_each(commands))

    async def get(
        self, post_ids: Sequence[str], viewer_id: str
    ) -> list[tuple[Counts | None, bool]]:
        """(counts or None when cold, whether the viewer is counted) of each post, in one trip.

        A post is cold when its counts or its set of likers are.
        """
        names = [counts_key(post_id) for post_id in post_ids]
        sets = [likes_key(post_id) for post_id in post_ids]
        counts, found = await self._redis.ask(ask_values(names), ask(liking(viewer_id), sets))
        return [
            (read_counts(value), bool(liked)) if value and whole else (None, False)
            for value, (liked, whole) in zip(counts, found, strict=True)
        ]


LIKES, COUNTS, CLICKED = "likes:", "counts:", "clicked:"
"""How the keys begin."""


def likes_key(post_id: str) -> str:
    """Where the set of likers is."""
    return f"{LIKES}{post_id}"


def counts_key(post_id: str) -> str:
    """Where the counts are."""
    return f"{COUNTS}{post_id}"


def clicked_key(user_id: str) -> str:
    """Where a user's clicks of the last seconds are."""
    return f"{CLICKED}{user_id}"


CLICKS = Template(("HGETALL", KEY))
"""Asks for them."""

LIKERS = Template(("SMEMBERS", KEY))
"""Asks for a set of likers, its mark among them."""


@lru_cache(1024)
def liking(viewer_id: str) -> Template:
    """Asks whether a set of likers has the viewer, and is whole."""
    return Template(("SMISMEMBER", KEY, viewer_id, WHOLE))


def read_clicks(reply: Mapping[bytes, bytes]) -> dict[str, bool]:
    """By post: what was clicked in the last seconds, True for a like."""
    if not reply:
        return {}
    since = _long_ago().encode()
    return {post.decode(): click.endswith(b"1") for post, click in reply.items() if click >= since}


def _long_ago() -> str:
    """An event id of CLICK_TTL_S ago."""
    return spell(compose(time.time_ns() // 1_000_000 - CLICK_TTL_S * 1000, 0, 0))


def _spell(counts: Counts) -> str:
    return f"{counts.likes}:{counts.comments}"


@lru_cache(4096)
def read_counts(value: bytes) -> Counts:
    """What `counts:` holds. Most posts share few values: reading one anew costs 1.5 µs."""
    likes, comments = value.split(b":")
    return Counts(int(likes), int(comments))
