"""Feed sets in Redis: one sorted set a user, with its own marks inside (seed sections 7 and 8).

`feed:{user_id}`, and `pulls:{user_id}` with a celebrity's own posts, hold members of 22 characters
(`domain.feed.member`) scored by published_at, and at score +inf their marks, in this order:

    !building:<token>    somebody is reading the sources; pushes must arrive meanwhile
    !built:<ms>          the set is exact above its floor; when it was built
    !celebrity:<author>  this author's posts are pulled: look into their own set, too
    !floor:<ms>:<post>   nothing may be concluded at or below this place

Because the marks are members, they live and die with the set: an evicted, expired or dropped feed
can't look built, and nothing brings back a set without building it. Whatever reads and then writes
is one script over that single key (`redis_timeline_scripts`).
"""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from redis.asyncio import Redis

from domain.entities import Cursor, FeedEntry
from domain.feed import entry_of, member, older, place, truncation
from domain.ports.feeds import FeedPage
from domain.settings import Feed
from stores import redis_timeline_scripts as lua
from stores.checks import checked_id
from stores.redis_client import store_errors

_PIPELINE = 1000  # commands on their way at once: a bounded reply buffer on both sides
_TIES = 16  # read beyond a cursor at first, for entries that share its millisecond


@dataclass(frozen=True, slots=True)
class RedisFeedPage:
    """A page of a built feed: entries newest first, all above the floor."""

    entries: list[FeedEntry]
    floor: Cursor | None
    celebrities: list[str]
    built_at: int


class RedisTimelines:
    """`domain.ports.feeds.Timelines` over one Redis. All methods raise StoreAway or Transient."""

    def __init__(self, client: Redis, feed: Feed, prefix: str = "feed") -> None:
        self._redis = client
        self._prefix = prefix
        self._cap = feed.cap
        self._ttl_s = feed.ttl_s
        self._limits = (feed.cap, feed.trim_slack)
        self._push = client.register_script(lua.PUSH)
        self._merge = client.register_script(lua.MERGE)
        self._add_mark = client.register_script(lua.ADD_MARK)
        self._remove = client.register_script(lua.REMOVE_AUTHOR)

    async def push(self, entry: FeedEntry, user_ids: Sequence[str]) -> int:
        """Add to each feed that exists (built or building); twice is once; how many exist.

        Raises Unrecoverable(invalid_event) for malformed ids: members have one width.
        """
        checked_id(entry.post_id, "ph_")
        checked_id(entry.author_id, "u_")
        tail = (*self._limits, entry.published_at, member(entry))
        exist = 0
        for start in range(0, len(user_ids), _PIPELINE):
            with store_errors():
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.scripts.add(self._push)  # type: ignore[arg-type] # typed for the sync one
                    for user_id in user_ids[start : start + _PIPELINE]:
                        pipe.evalsha(self._push.sha, 1, self._key(user_id), *tail)
                    exist += sum(await pipe.execute())
        return exist

    async def mark_celebrity(self, author_id: str, user_ids: Sequence[str]) -> None:
        """From now on pull this author into each feed that exists; twice is once."""
        mark = _celebrity(checked_id(author_id, "u_"))
        for start in range(0, len(user_ids), _PIPELINE):
            with store_errors():
                async with self._redis.pipeline(transaction=False) as pipe:
                    pipe.scripts.add(self._add_mark)  # type: ignore[arg-type] # typed for the sync one
                    for user_id in user_ids[start : start + _PIPELINE]:
                        pipe.evalsha(self._add_mark.sha, 1, self._key(user_id), mark)
                    await pipe.execute()

    async def exists(self, user_id: str) -> bool:
        """Whether there is a feed, built or building, that backfills would reach."""
        with store_errors():
            return bool(await self._redis.exists(self._key(user_id)))

    async def page(self, user_id: str, before: Cursor | None, limit: int) -> RedisFeedPage | None:
        """Entries newest first, strictly before the cursor; None when the feed is cold.

        One round trip, unless more than a few entries share the cursor's millisecond: then it
        reads again with twice the reach, from the same place, so that nothing that is added or
        removed meanwhile can shift an offset.
        """
        reach = limit if before is None else limit + _TIES
        while True:
            marks, found = await self._read(user_id, before, reach)
            said = _Marks.of(marks)
            if said.built_at is None:
                return None
            floor = said.floor
            entries = older(found, before)
            if len(entries) >= limit or len(found) < reach:
                above = [entry for entry in entries if floor is None or place(entry) > floor]
                return RedisFeedPage(above[:limit], floor, said.celebrities, said.built_at)
            reach *= 2

    async def pages(
        self, user_ids: Sequence[str], before: Cursor | None, limit: int
    ) -> list[FeedPage | None]:
        """`page` of several at once."""
        return list(
            await asyncio.gather(*(self.page(user_id, before, limit) for user_id in user_ids))
        )

    async def _read(
        self, user_id: str, before: Cursor | None, reach: int
    ) -> tuple[list[bytes], list[FeedEntry]]:
        """Marks and entries as of one moment; renews the feed's life."""
        key = self._key(user_id)
        top = "(+inf" if before is None else before.published_at
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.zrangebyscore(key, "+inf", "+inf")
                pipe.zrevrangebyscore(key, top, "-inf", start=0, num=reach, withscores=True)
                pipe.expire(key, self._ttl_s)
                marks, found, _ = await pipe.execute()
        return marks, [entry_of(name, score) for name, score in found]

    async def begin_build(self, user_id: str) -> str:
        """Mark as building, so that pushes arrive; a token that `finish_build` must show."""
        token = secrets.token_hex(8)
        with store_errors():
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.execute_command("ZADD", self._key(user_id), "+inf", f"!building:{token}")
                pipe.expire(self._key(user_id), self._ttl_s)
                await pipe.execute()
        return token

    async def finish_build(
        self,
        user_id: str,
        token: str,
        entries: Sequence[FeedEntry],
        celebrities: Sequence[str] = (),
    ) -> bool:
        """Merge the entries in (never replace) and mark built; False when the build was voided.

        Of several builders the first to finish wins and voids the others. `cap` or more entries
        are taken as cut off: the last of them becomes the floor.
        """
        marks = [("+inf", _celebrity(author_id)) for author_id in celebrities]
        return await self._merge_in(user_id, f"!building:{token}", entries, marks)

    async def add_entries(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Backfill a feed that exists, above its floor; cut-off lists raise it."""
        await self._merge_in(user_id, "", entries)

    async def _merge_in(
        self,
        user_id: str,
        mark: str,
        entries: Sequence[FeedEntry],
        marks: Sequence[tuple[str, str]] = (),
    ) -> bool:
        floor = truncation(entries, self._cap)
        built = f"!built:{time.time_ns() // 1_000_000}"
        head = (*self._limits, mark, built, "" if floor is None else _spell_floor(floor))
        args = [*head, *chain.from_iterable(marks), *_pairs(entries)]
        with store_errors():
            done = await self._merge(keys=[self._key(user_id)], args=args)
        return bool(done)

    async def remove(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Take these entries out of a feed."""
        if entries:
            with store_errors():
                await self._redis.zrem(self._key(user_id), *map(member, entries))

    async def remove_author(self, user_id: str, author_id: str) -> None:
        """Take one author's entries out of a feed, and stop pulling them."""
        with store_errors():
            await self._remove(keys=[self._key(user_id)], args=[author_id.removeprefix("u_")])

    async def drop(self, user_id: str) -> None:
        """Make it cold; a build under way is voided."""
        with store_errors():
            await self._redis.delete(self._key(user_id))

    def _key(self, user_id: str) -> str:
        return f"{self._prefix}:{user_id}"


def _pairs(entries: Iterable[FeedEntry]) -> Iterable[int | bytes]:
    return chain.from_iterable((entry.published_at, member(entry)) for entry in entries)


def _spell_floor(floor: Cursor) -> str:
    return f"!floor:{floor.published_at:013d}:{floor.post_id.removeprefix('ph_')}"


def _celebrity(author_id: str) -> str:
    return f"!celebrity:{author_id.removeprefix('u_')}"


@dataclass(slots=True)
class _Marks:
    """What a set says of itself."""

    built_at: int | None = None
    floor: Cursor | None = None
    celebrities: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, members: Iterable[bytes]) -> "_Marks":
        """Read the marks as they are ordered in the set: of several floors the last holds."""
        said = cls()
        for name, *rest in (each.decode().split(":") for each in members):
            if name == "!built":
                said.built_at = int(rest[0])
            elif name == "!celebrity":
                said.celebrities.append(f"u_{rest[0]}")
            elif name == "!floor":
                said.floor = Cursor(int(rest[0]), f"ph_{rest[1]}")
        return said
