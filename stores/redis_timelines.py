"""Feed sets in Redis: one sorted set a user, with its own marks inside (seed sections 7 and 8).

`feed:{user_id}`, and `pulls:{user_id}` with a celebrity's own posts, hold members of 21 characters
(`domain.feed.member`) scored by published_at, and at score +inf their marks, in this order:

    !building:<token>    somebody is reading the sources; pushes must arrive meanwhile
    !built:<ms>          the set is exact above its floor; when it was built
    !celebrity:<author>  this author's posts are pulled: look into their own set, too
    !floor:<ms>:<post>   nothing may be concluded at or below this place

Because the marks are members, they live and die with the set: an evicted, expired or dropped feed
can't look built, and nothing brings back a set without building it. Whatever reads and then writes
is one script over that single key (`redis_timeline_scripts`).
"""

import secrets
import time
from asyncio import gather
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain, compress

from domain.entities import Cursor, FeedEntry
from domain.feed import author_part, member, truncation
from domain.ports.feeds import FeedPage
from domain.settings import Feed
from stores import redis_timeline_scripts as lua
from stores.checks import checked_id
from stores.redis_commands import KEY, Template, ask
from stores.redis_feed_page import Marks, RedisFeedPage, celebrity_mark, floor_mark, page_of
from stores.redis_server import RedisServer, meaning
from stores.redis_wire import Reply

_BATCH = 250  # feeds: the server works on one batch while the next is packed
_ROW = 4  # batches on their way at once: a bounded reply buffer on both sides
_FEW = 16  # members: a set so small may be what late pushes left of a feed that has gone
_TIES = 16  # read beyond a cursor at first, for entries that share its millisecond
_RENEWED_AFTER = 0.01  # of a set's life
_RENEWED_MOST = 50_000  # sets of which a process knows that it renewed them: 5 MB
_SIZE = Template(("ZCARD", KEY))


class RedisTimelines:
    """`domain.ports.feeds.Timelines` over Redis. All methods raise StoreAway or Transient."""

    def __init__(self, redis: RedisServer, feed: Feed, prefix: str = "feed") -> None:
        self._redis = redis
        self._prefix = prefix
        self._limits = (feed.cap, feed.trim_slack)
        self._renewal = Template(("EXPIRE", KEY, feed.ttl_s))
        self._ttl_s = feed.ttl_s
        self._renewed: set[str] = set()
        self._renewed_until = 0.0

    async def push(self, entry: FeedEntry, user_ids: Sequence[str]) -> int:
        """Add to each feed that exists (built or building); twice is once; how many exist.

        Raises Unrecoverable(invalid_event) for malformed ids: members have one width.
        """
        checked_id(entry.post_id, "ph_")
        checked_id(entry.author_id, "u_")
        return await self._add(entry.published_at, member(entry), user_ids)

    async def mark_celebrity(self, author_id: str, user_ids: Sequence[str]) -> None:
        """From now on pull this author into each feed that exists; twice is once."""
        await self._add("+inf", celebrity_mark(checked_id(author_id, "u_")), user_ids)

    async def _add(self, score: int | str, name: bytes | str, user_ids: Sequence[str]) -> int:
        keys = [self._key(user_id) for user_id in user_ids]
        batches = [keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)]
        added = 0
        for start in range(0, len(batches), _ROW):
            row = batches[start : start + _ROW]
            added += sum(await gather(*(self._add_to(batch, score, name) for batch in row)))
        return added

    async def _add_to(self, keys: Sequence[str], score: int | str, name: bytes | str) -> int:
        """Two round trips: how large are the sets, then add to those that are there.

        A set that goes between the two comes back without marks, life or limit. It is cold, and
        nothing grows there: the next push finds it small and leaves it to the script, which
        removes what has no mark. The sizes also tell, for nothing, which sets want trimming.
        """
        (sizes,) = await self._redis.ask(ask(_SIZE, keys))
        large = list(compress(keys, [size > _FEW for size in sizes]))
        await self._redis.ask(ask(Template(("ZADD", KEY, score, name)), large))
        limit = sum(self._limits)
        if full := [key for key, size in zip(keys, sizes, strict=True) if size >= limit]:
            await self._redis.run(lua.TRIM, dict.fromkeys(full, self._limits))
        few = [key for key, size in zip(keys, sizes, strict=True) if 0 < size <= _FEW]
        done = await self._redis.run(lua.PUSH, dict.fromkeys(few, (*self._limits, score, name)))
        return len(large) + sum(done)

    async def exists(self, user_id: str) -> bool:
        """Whether there is a feed, built or building, that backfills would reach."""
        return bool(await self._redis.call("ZCOUNT", self._key(user_id), "+inf", "+inf"))

    async def page(self, user_id: str, before: Cursor | None, limit: int) -> FeedPage | None:
        """Entries newest first, strictly before the cursor; None when the feed is cold."""
        (page,) = await self.pages([user_id], before, limit)
        return page

    async def pages(
        self, user_ids: Sequence[str], before: Cursor | None, limit: int
    ) -> list[FeedPage | None]:
        """`page` of several at once; their lives are renewed now and then.

        One round trip, unless more than a few entries share the cursor's millisecond: then it
        reads those again with twice the reach, from the same place, so that nothing that is added
        or removed meanwhile can shift an offset.
        """
        pages: dict[str, RedisFeedPage | None] = {}
        reach = limit if before is None else limit + _TIES
        while wanting := [user_id for user_id in user_ids if user_id not in pages]:
            for user_id, (said, found) in zip(
                wanting, await self._read(wanting, before, reach), strict=True
            ):
                marks = Marks.of(said)
                if marks.foreign:
                    await self.drop(user_id)
                if not marks.built_at:
                    pages[user_id] = None
                elif page := page_of(marks, found, before, limit, reach):
                    pages[user_id] = page
            reach *= 2
        return [pages[user_id] for user_id in user_ids]

    async def _read(
        self, user_ids: Sequence[str], before: Cursor | None, reach: int
    ) -> list[tuple[list[bytes], list[Reply]]]:
        """Marks, and pairs of member and score, as of one moment of each set."""
        keys = [self._key(user_id) for user_id in user_ids]
        top = "(+inf" if before is None else before.published_at
        asks = [ask(_reading(top, reach), keys)]
        if aging := self._aging(keys):
            asks.append(ask(self._renewal, aging, optional=True))  # a replica refuses it
        replies, *_ = await self._redis.ask(*asks)
        moments = replies[3::4]
        for error in (part for moment in moments for part in moment if type(part) is not list):
            raise meaning(error)
        return moments

    def _aging(self, keys: Sequence[str]) -> list[str]:
        """Those whose lives this process hasn't renewed for a while."""
        now = time.monotonic()
        if now >= self._renewed_until or len(self._renewed) >= _RENEWED_MOST:
            self._renewed, self._renewed_until = set(), now + self._ttl_s * _RENEWED_AFTER
        aging = [key for key in keys if key not in self._renewed]
        self._renewed.update(aging)
        return aging

    async def begin_build(self, user_id: str) -> str:
        """Mark as building, so that pushes arrive; a token that `finish_build` must show."""
        token = secrets.token_hex(8)
        begin = Template(
            ("MULTI",),
            ("ZADD", KEY, "+inf", f"!building:{token}"),
            ("EXPIRE", KEY, self._ttl_s),
            ("EXEC",),
        )
        await self._redis.ask(ask(begin, [self._key(user_id)]))
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
        marks = [("+inf", celebrity_mark(author_id)) for author_id in celebrities]
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
        floor = truncation(entries, self._limits[0])
        built = f"!built:{time.time_ns() // 1_000_000}"
        head = (*self._limits, mark, built, "" if floor is None else floor_mark(floor))
        args = (*head, *chain.from_iterable(marks), *_pairs(entries))
        (done,) = await self._redis.run(lua.MERGE, {self._key(user_id): args})
        return bool(done)

    async def remove(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Take these entries out of a feed."""
        if entries:
            await self._redis.call("ZREM", self._key(user_id), *map(member, entries))

    async def remove_author(self, user_id: str, author_id: str) -> None:
        """Take one author's entries out of a feed, and stop pulling them."""
        args = (author_part(author_id), celebrity_mark(author_id))
        await self._redis.run(lua.REMOVE_AUTHOR, {self._key(user_id): args})

    async def drop(self, user_id: str) -> None:
        """Make it cold; a build under way is voided."""
        await self._redis.call("DEL", self._key(user_id))

    def _key(self, user_id: str) -> str:
        return f"{self._prefix}:{user_id}"


@lru_cache(64)
def _reading(top: int | str, reach: int) -> Template:
    """Marks and entries down from a score, of one moment."""
    return Template(
        ("MULTI",),
        ("ZRANGEBYSCORE", KEY, "+inf", "+inf"),
        ("ZREVRANGEBYSCORE", KEY, top, "-inf", "WITHSCORES", "LIMIT", 0, reach),
        ("EXEC",),
    )


def _pairs(entries: Iterable[FeedEntry]) -> Iterable[int | bytes]:
    return chain.from_iterable((entry.published_at, member(entry)) for entry in entries)
