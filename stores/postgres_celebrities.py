"""The sticky celebrity flag and the operator's threshold in PostgreSQL (seed section 10)."""

from collections.abc import Sequence

from stores.postgres_pool import PostgresPool

_THRESHOLD = "celebrity_threshold"


class PostgresCelebrities:
    """Celebrities (domain/ports/) over `celebrities`, `pulled_authors` and `settings`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def flag(self, user_id: str, followers: int, now: int) -> None:
        """Mark as a celebrity; once set, later calls change nothing until cleared."""
        await self._pool.run(
            "INSERT INTO celebrities VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (user_id, followers, now),
        )

    async def is_flagged(self, user_id: str) -> bool:
        """Whether the flag is set."""
        found = await self._pool.tuples("SELECT 1 FROM celebrities WHERE user_id = %s", (user_id,))
        return bool(found)

    async def flagged(self) -> list[tuple[str, int, int]]:
        """All of them by id: (user_id, followers when flagged, flagged at)."""
        found = await self._pool.tuples(
            "SELECT user_id, followers, flagged_at FROM celebrities ORDER BY user_id"
        )
        return [(user_id, followers, at) for user_id, followers, at in found]

    async def clear(self, user_id: str) -> bool:
        """Take the flag away; False when it wasn't set."""
        return await self._pool.run("DELETE FROM celebrities WHERE user_id = %s", (user_id,)) == 1

    async def start_pulling(self, user_id: str, post_id: str) -> bool:
        """Readers pull this author from now on, for good; whether this post tells the followers."""
        await self._pool.run(
            "INSERT INTO pulled_authors VALUES (%s, %s) ON CONFLICT DO NOTHING", (user_id, post_id)
        )
        [(tells,)] = await self._pool.tuples(
            "SELECT post_id = %s OR NOT told FROM pulled_authors WHERE user_id = %s",
            (post_id, user_id),
        )
        return bool(tells)

    async def pulling_told(self, user_id: str, post_id: str) -> None:
        """The followers are told by this post and no other; the first call counts."""
        await self._pool.run(
            "UPDATE pulled_authors SET post_id = %s, told = true WHERE user_id = %s AND NOT told",
            (post_id, user_id),
        )

    async def pulling_untold(self, user_id: str, post_id: str) -> None:
        """Not all followers could be told by this post: if no other has told, the next one does."""
        await self._pool.run(
            "UPDATE pulled_authors SET told = false WHERE user_id = %s AND post_id = %s",
            (user_id, post_id),
        )

    async def pulled_among(self, user_ids: Sequence[str]) -> list[str]:
        """Those of them whose posts are to be pulled, sorted."""
        found = await self._pool.tuples(
            "SELECT user_id FROM pulled_authors WHERE user_id = ANY(%s) ORDER BY user_id",
            (list(user_ids),),
        )
        return [user_id for (user_id,) in found]

    async def threshold(self) -> int | None:
        """The operator's live threshold, None when never set."""
        found = await self._pool.tuples("SELECT value FROM settings WHERE name = %s", (_THRESHOLD,))
        return int(found[0][0]) if found else None

    async def set_threshold(self, followers: int) -> None:
        """Set the live threshold."""
        await self._pool.run(
            "INSERT INTO settings VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = %s",
            (_THRESHOLD, followers, followers),
        )
