"""Accounts and profiles in PostgreSQL."""

from collections.abc import Sequence

from psycopg.rows import class_row

from domain.entities import User
from stores.postgres_pool import PostgresPool

_AS_USER = class_row(User)


class PostgresUsers:
    """Users (domain/ports/) over the table `users`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def add(self, user: User, password_hash: str) -> bool:
        """Store a new account; False when the username is taken (case-insensitively)."""
        added = await self._pool.run(
            """INSERT INTO users (user_id, username, password_hash, display_name, bio,
                                  avatar_photo_id, created_at)
               VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING""",
            (
                user.user_id,
                user.username,
                password_hash,
                user.display_name,
                user.bio,
                user.avatar_photo_id,
                user.created_at,
            ),
        )
        if added:
            return True
        found = await self.by_name(user.username)
        return found is not None and found[0].user_id == user.user_id

    async def get(self, user_id: str) -> User | None:
        """The profile, or None."""
        return (await self.get_many([user_id])).get(user_id)

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, User]:
        """Those of `user_ids` that exist."""
        found = await self._pool.rows(
            """SELECT user_id, username, display_name, bio, avatar_photo_id, created_at
               FROM users WHERE user_id = ANY(%s)""",
            (list(user_ids),),
            _AS_USER,
        )
        return {user.user_id: user for user in found}

    async def ids_after(self, user_id: str, limit: int) -> list[str]:
        """Everyone's ids in order, strictly after one ("" is the start)."""
        found = await self._pool.tuples(
            "SELECT user_id FROM users WHERE user_id > %s ORDER BY 1 LIMIT %s",
            (user_id, limit),
        )
        return [each for (each,) in found]

    async def by_name(self, username: str) -> tuple[User, str] | None:
        """Profile and password hash by username, case-insensitively."""
        found = await self._pool.tuples(
            """SELECT password_hash,
                      user_id, username, display_name, bio, avatar_photo_id, created_at
               FROM users WHERE lower(username) = lower(%s)""",
            (username,),
        )
        return (User(*found[0][1:]), found[0][0]) if found else None

    async def update(
        self,
        user_id: str,
        *,
        display_name: str | None = None,
        bio: str | None = None,
        avatar_photo_id: str | None = None,
    ) -> User | None:
        """Change what is given; the profile afterwards, or None when there is none."""
        return await self._pool.row(
            """UPDATE users SET display_name = coalesce(%s, display_name), bio = coalesce(%s, bio),
                                avatar_photo_id = coalesce(%s, avatar_photo_id)
               WHERE user_id = %s
               RETURNING user_id, username, display_name, bio, avatar_photo_id, created_at""",
            (display_name, bio, avatar_photo_id, user_id),
            _AS_USER,
        )
