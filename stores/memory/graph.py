"""Twins of PostgreSQL's follow graph and outbox: a change and its event are one step."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import TypeVar

from domain.entities import Edge, OutboxRow
from domain.errors import NotFound
from schemas.events import FollowCreated, FollowDeleted
from stores.memory.postgres import MemoryUsers
from topics.catalog import FOLLOW_CREATED, FOLLOW_DELETED
from topics.topic import Topic

E = TypeVar("E", FollowCreated, FollowDeleted)


class MemoryOutbox:
    """Twin of PostgresOutbox; `put` is what a transaction's commit does."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._rows: dict[int, tuple[OutboxRow, float]] = {}
        self._numbers = count(1)
        self._clock = clock
        self._arrived = asyncio.Event()
        self._draining: set[int] = set()

    def put(
        self, topic: str, key: bytes, payload: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Enqueue one event."""
        number = next(self._numbers)
        row = OutboxRow(number, topic, key, payload, tuple(headers))
        self._rows[number] = (row, self._clock())
        self._arrived.set()

    async def drain(
        self, publish: Callable[[Sequence[OutboxRow]], Awaitable[None]], limit: int
    ) -> int:
        """Publish up to `limit` rows, oldest first, then delete them; how many."""
        free = (row for number, (row, _) in self._rows.items() if number not in self._draining)
        rows = [row for row, _ in zip(free, range(limit), strict=False)]
        mine = {row.row_id for row in rows}
        self._draining |= mine
        try:
            if rows:
                await publish(rows)
            for number in mine:
                del self._rows[number]
        finally:
            self._draining -= mine
        return len(rows)

    async def wait(self, timeout_s: float) -> None:
        """Return when something was enqueued, at the latest after `timeout_s`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), timeout_s)
        self._arrived.clear()

    async def depth(self) -> tuple[int, float]:
        """How many rows wait, and the oldest one's age in seconds (0 for none)."""
        ages = [self._clock() - at for _, at in self._rows.values()]
        return len(ages), max(ages, default=0.0)


class MemoryFollows:
    """Twin of PostgresFollows over the twins of users and outbox."""

    def __init__(self, users: MemoryUsers, outbox: MemoryOutbox) -> None:
        self._users = users
        self._outbox = outbox
        self._edges: dict[tuple[str, str], Edge] = {}
        self._versions = count(1)

    async def follow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Make the edge and enqueue follow.created; the present edge when it was there already."""
        await self._must_exist(follower_id, followee_id)
        old = self._edges.get((follower_id, followee_id))
        if old is not None and old.following:
            return old
        edge = Edge(follower_id, followee_id, next(self._versions), following=True, changed_at=now)
        self._change(edge, FOLLOW_CREATED, event_id, traceparent)
        return edge

    async def unfollow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Leave a tombstone and enqueue follow.deleted; no event when nothing changed."""
        await self._must_exist(follower_id, followee_id)
        old = self._edges.get((follower_id, followee_id))
        if old is None:
            return Edge(follower_id, followee_id, version=0, following=False, changed_at=0)
        if not old.following:
            return old
        edge = replace(old, version=next(self._versions), following=False, changed_at=now)
        self._change(edge, FOLLOW_DELETED, event_id, traceparent)
        return edge

    async def _must_exist(self, *user_ids: str) -> None:
        if len(await self._users.get_many(user_ids)) != len(set(user_ids)):
            raise NotFound(f"{' or '.join(user_ids)} has no account")

    def _change(
        self,
        edge: Edge,
        topic: Topic[E],
        event_id: str,
        traceparent: str | None,
    ) -> None:
        self._edges[edge.follower_id, edge.followee_id] = edge
        event = topic.event(
            event_id=event_id,
            occurred_at=edge.changed_at,
            version=edge.version,
            follower_id=edge.follower_id,
            followee_id=edge.followee_id,
        )
        headers = [("traceparent", traceparent.encode())] if traceparent else []
        self._outbox.put(topic.name, topic.key_of(event), topic.codec.encode(event), headers)

    async def edge(self, follower_id: str, followee_id: str) -> Edge | None:
        """The edge or its tombstone."""
        return self._edges.get((follower_id, followee_id))

    async def following(self, follower_id: str) -> list[str]:
        """Everyone `follower_id` follows now, sorted."""
        return sorted(edge.followee_id for edge in self._from(follower_id))

    async def followers_between(self, followee_id: str, after_id: str, upto_id: str) -> list[str]:
        """Present followers with after_id < id <= upto_id, sorted ("" is the start)."""
        found = (edge.follower_id for edge in self._to(followee_id))
        return sorted(each for each in found if after_id < each <= upto_id)

    async def chunk_bounds(self, followee_id: str, size: int) -> AsyncIterator[tuple[str, str]]:
        """(after_id, upto_id) ranges of at most `size` present followers, in order."""
        after_id = ""
        while True:
            found = sorted(edge.follower_id for edge in self._to(followee_id))
            chunk = [each for each in found if each > after_id][:size]
            if not chunk:
                return
            yield after_id, chunk[-1]
            after_id = chunk[-1]

    async def followers_page(
        self, followee_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followers, newest edge first, strictly before (changed_at, follower_id)."""
        placed = {(edge.changed_at, edge.follower_id): edge for edge in self._to(followee_id)}
        return _page(placed, before, limit)

    async def following_page(
        self, follower_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followees, newest edge first, strictly before (changed_at, followee_id)."""
        placed = {(edge.changed_at, edge.followee_id): edge for edge in self._from(follower_id)}
        return _page(placed, before, limit)

    async def counts(self, user_id: str) -> tuple[int, int]:
        """(followers, following) counted from the edges."""
        return len(self._to(user_id)), len(self._from(user_id))

    def _to(self, followee_id: str) -> list[Edge]:
        return [e for e in self._edges.values() if e.followee_id == followee_id and e.following]

    def _from(self, follower_id: str) -> list[Edge]:
        return [e for e in self._edges.values() if e.follower_id == follower_id and e.following]


def _page(
    placed: dict[tuple[int, str], Edge], before: tuple[int, str] | None, limit: int
) -> list[Edge]:
    places = sorted((at for at in placed if before is None or at < before), reverse=True)
    return [placed[at] for at in places[:limit]]
