"""The follow graph in PostgreSQL: each change and its event are one commit."""

from collections.abc import AsyncIterator
from typing import LiteralString, TypeVar

from psycopg import AsyncConnection
from psycopg.errors import ForeignKeyViolation
from psycopg.rows import TupleRow, class_row

from domain.entities import Edge
from domain.errors import NotFound
from schemas.events import FollowCreated, FollowDeleted
from stores.postgres_outbox import enqueue
from stores.postgres_pool import PostgresPool
from topics.catalog import FOLLOW_CREATED, FOLLOW_DELETED
from topics.topic import Topic

E = TypeVar("E", FollowCreated, FollowDeleted)

_AS_EDGE = class_row(Edge)
_NEWEST = (2**63 - 1, "")
_EDGE = "SELECT follower_id, followee_id, version, following, changed_at FROM follows "

# In both, the version that is stored is taken under the edge's row lock: a conflict or a concurrent
# update makes PostgreSQL wait for the other transaction and compute the new row again.
_FOLLOW = """INSERT INTO follows AS edge (follower_id, followee_id, version, following, changed_at)
    VALUES (%(follower)s, %(followee)s, nextval('edge_version'), true, %(now)s)
    ON CONFLICT (follower_id, followee_id) DO UPDATE
    SET version = nextval('edge_version'), following = true, changed_at = %(now)s
    WHERE NOT edge.following
    RETURNING follower_id, followee_id, version, following, changed_at"""
_UNFOLLOW = """UPDATE follows
    SET version = nextval('edge_version'), following = false, changed_at = %(now)s
    WHERE follower_id = %(follower)s AND followee_id = %(followee)s AND following
    RETURNING follower_id, followee_id, version, following, changed_at"""


class PostgresFollows:
    """Follows (domain/ports/) over the tables `follows` and `outbox`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def follow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Make the edge and enqueue follow.created; the present edge when it was there already.

        Safe to repeat. Raises NotFound when either of them has no account.
        """
        args = {"follower": follower_id, "followee": followee_id, "now": now}
        try:
            async with self._pool.transaction() as connection:
                edge = await _changed(connection, _FOLLOW, args)
                if edge is not None:
                    await _enqueue(connection, FOLLOW_CREATED, edge, event_id, traceparent)
        except ForeignKeyViolation:
            raise NotFound(f"{follower_id} or {followee_id} has no account") from None
        return edge or await self._present(follower_id, followee_id)

    async def unfollow(
        self,
        follower_id: str,
        followee_id: str,
        event_id: str,
        now: int,
        *,
        traceparent: str | None = None,
    ) -> Edge:
        """Leave a tombstone and enqueue follow.deleted; no event when nothing changed.

        Safe to repeat. An edge that never was comes back with version 0, and leaves no row.
        Raises NotFound when either of them has no account.
        """
        args = {"follower": follower_id, "followee": followee_id, "now": now}
        async with self._pool.transaction() as connection:
            edge = await _changed(connection, _UNFOLLOW, args)
            if edge is not None:
                await _enqueue(connection, FOLLOW_DELETED, edge, event_id, traceparent)
        return edge or await self._present(follower_id, followee_id)

    async def _present(self, follower_id: str, followee_id: str) -> Edge:
        edge = await self.edge(follower_id, followee_id)
        if edge is not None:
            return edge
        ((people,),) = await self._pool.tuples(
            "SELECT count(*) FROM users WHERE user_id IN (%s, %s)", (follower_id, followee_id)
        )
        if people != len({follower_id, followee_id}):
            raise NotFound(f"{follower_id} or {followee_id} has no account")
        return Edge(follower_id, followee_id, version=0, following=False, changed_at=0)

    async def edge(self, follower_id: str, followee_id: str) -> Edge | None:
        """The edge or its tombstone."""
        return await self._pool.row(
            _EDGE + "WHERE follower_id = %s AND followee_id = %s",
            (follower_id, followee_id),
            _AS_EDGE,
        )

    async def following(self, follower_id: str) -> list[str]:
        """Everyone `follower_id` follows now, sorted."""
        found = await self._pool.tuples(
            "SELECT followee_id FROM follows WHERE follower_id = %s AND following ORDER BY 1",
            (follower_id,),
        )
        return [followee_id for (followee_id,) in found]

    async def followers_between(self, followee_id: str, after_id: str, upto_id: str) -> list[str]:
        """Present followers with after_id < id <= upto_id, sorted ("" is the start)."""
        found = await self._pool.tuples(
            """SELECT follower_id FROM follows WHERE followee_id = %s AND following
               AND follower_id > %s AND follower_id <= %s ORDER BY 1""",
            (followee_id, after_id, upto_id),
        )
        return [follower_id for (follower_id,) in found]

    async def chunk_bounds(self, followee_id: str, size: int) -> AsyncIterator[tuple[str, str]]:
        """(after_id, upto_id) ranges of at most `size` present followers, in order."""
        after_id = ""
        while True:
            ((upto_id,),) = await self._pool.tuples(
                """SELECT max(follower_id) FROM (
                       SELECT follower_id FROM follows
                       WHERE followee_id = %s AND following AND follower_id > %s
                       ORDER BY follower_id LIMIT %s) AS chunk""",
                (followee_id, after_id, size),
            )
            if upto_id is None:
                return
            yield after_id, upto_id
            after_id = upto_id

    async def followers_page(
        self, followee_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followers, newest edge first, strictly before (changed_at, follower_id)."""
        return await self._pool.rows(
            _EDGE
            + """WHERE followee_id = %s AND following AND (changed_at, follower_id) < (%s, %s)
               ORDER BY changed_at DESC, follower_id DESC LIMIT %s""",
            (followee_id, *(before or _NEWEST), limit),
            _AS_EDGE,
        )

    async def following_page(
        self, follower_id: str, before: tuple[int, str] | None, limit: int
    ) -> list[Edge]:
        """Present followees, newest edge first, strictly before (changed_at, followee_id)."""
        return await self._pool.rows(
            _EDGE
            + """WHERE follower_id = %s AND following AND (changed_at, followee_id) < (%s, %s)
               ORDER BY changed_at DESC, followee_id DESC LIMIT %s""",
            (follower_id, *(before or _NEWEST), limit),
            _AS_EDGE,
        )

    async def counts(self, user_id: str) -> tuple[int, int]:
        """(followers, following) counted from the edges: exact, for when no cache has them."""
        ((followers, following),) = await self._pool.tuples(
            """SELECT (SELECT count(*) FROM follows WHERE followee_id = %s AND following),
                      (SELECT count(*) FROM follows WHERE follower_id = %s AND following)""",
            (user_id, user_id),
        )
        return followers, following


async def _changed(
    connection: AsyncConnection[TupleRow], query: LiteralString, args: dict[str, object]
) -> Edge | None:
    async with connection.cursor(row_factory=_AS_EDGE) as cursor:
        await cursor.execute(query, args)
        return await cursor.fetchone()


async def _enqueue(
    connection: AsyncConnection[TupleRow],
    topic: Topic[E],
    edge: Edge,
    event_id: str,
    traceparent: str | None,
) -> None:
    event = topic.event(
        event_id=event_id,
        occurred_at=edge.changed_at,
        version=edge.version,
        follower_id=edge.follower_id,
        followee_id=edge.followee_id,
    )
    await enqueue(connection, topic, event, traceparent)
