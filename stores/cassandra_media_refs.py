"""Which photos need which objects of the media bucket, in Cassandra.

Bytes are never lost to a removal. `hold` writes its row, then reads whether somebody is removing;
`remove` says that it is removing, then reads who holds. Both read and write at quorum, so at least
one sees the other: the holder waits until the removal is over and puts its bytes after it, or the
remover leaves them. A remover that dies leaves its word for _CLAIM_S, and no removal takes longer.
"""

import asyncio
import secrets
import zlib
from collections.abc import Awaitable, Callable, Collection

from domain.entities import Unheld
from domain.errors import StoreAway
from stores.cassandra_session import CassandraSession
from stores.checks import checked_id

_SHARDS = 8
_CLAIM_S = 60
_REMOVE_LIMIT_S = 20.0

_HOLD = "INSERT INTO media_holders (user_id, hash, photo_id) VALUES (?, ?, ?)"
_HOLD_BY_PHOTO = "INSERT INTO media_by_photo (photo_id, hash) VALUES (?, ?)"
_SELECT_HOLDERS = "SELECT photo_id, removing FROM media_holders WHERE user_id = ? AND hash = ?"
_SELECT_HELD = "SELECT hash FROM media_by_photo WHERE photo_id = ?"
_RELEASE = "DELETE FROM media_holders WHERE user_id = ? AND hash = ? AND photo_id = ?"
_RELEASE_BY_PHOTO = "DELETE FROM media_by_photo WHERE photo_id = ? AND hash = ?"
_INSERT_UNHELD = "INSERT INTO media_unheld (shard, since, user_id, hash) VALUES (?, ?, ?, ?)"
_SELECT_UNHELD = """
SELECT since, user_id, hash FROM media_unheld WHERE shard = ? AND since < ? LIMIT ?"""
_DELETE_UNHELD = """
DELETE FROM media_unheld WHERE shard = ? AND since = ? AND user_id = ? AND hash = ?"""
_CLAIM = f"""
UPDATE media_holders USING TTL {_CLAIM_S} SET removing = ?
WHERE user_id = ? AND hash = ? IF removing = null"""  # noqa: S608 - of constants
_UNCLAIM = """
UPDATE media_holders SET removing = null WHERE user_id = ? AND hash = ? IF removing = ?"""


class CassandraMediaRefs:
    """`domain.ports.photos.MediaRefs` on media_holders, media_by_photo and media_unheld."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    async def hold(self, user_id: str, hashes: Collection[str], photo_id: str) -> None:
        """The photo needs these; twice is once. Raises StoreAway while one is being removed."""
        checked_id(user_id, "u_")
        checked_id(photo_id, "ph_")
        await self._session.execute_many(_HOLD_BY_PHOTO, [(photo_id, each) for each in hashes])
        await self._session.execute_many(_HOLD, [(user_id, each, photo_id) for each in hashes])
        found = await self._session.execute_many(
            _SELECT_HOLDERS, [(user_id, each) for each in hashes]
        )
        if any(row.removing for rows in found for row in rows):
            raise StoreAway("an object is being removed")  # waits, and burns no tries

    async def held(self, photo_id: str) -> set[str]:
        """The hashes that the photo holds."""
        rows = await self._session.execute(_SELECT_HELD, (checked_id(photo_id, "ph_"),))
        return {row.hash for row in rows}

    async def release(self, user_id: str, hashes: Collection[str], photo_id: str, now: int) -> None:
        """The photo needs these no more; twice is once.

        The photo's own list goes last: what broke off in between is done again.
        """
        checked_id(user_id, "u_")
        checked_id(photo_id, "ph_")
        for each in hashes:
            await self._session.execute(_RELEASE, (user_id, each, photo_id))
            if not await self._holders(user_id, each):
                await self._session.execute(_INSERT_UNHELD, (_shard(each), now, user_id, each))
            await self._session.execute(_RELEASE_BY_PHOTO, (photo_id, each))

    async def unheld(self, before: int, limit: int) -> list[Unheld]:
        """Up to `limit` objects without a holder since before a time (ms), oldest first."""
        shards = await self._session.execute_many(
            _SELECT_UNHELD, [(shard, before, limit) for shard in range(_SHARDS)]
        )
        found = [Unheld(row.since, row.user_id, row.hash) for rows in shards for row in rows]
        return sorted(found, key=lambda each: each.since)[:limit]

    async def remove(self, unheld: Unheld, delete: Callable[[], Awaitable[None]]) -> bool:
        """Call `delete` unless somebody holds the object now; whether it was called.

        Raises StoreAway while another remover is at it. When `delete` fails its outcome is
        unknown: the claim then stays until it runs out.
        """
        user_id, content_hash, token = unheld.user_id, unheld.hash, secrets.token_hex(8)
        [claim] = await self._session.execute(_CLAIM, (token, user_id, content_hash))
        if not claim.applied:
            raise StoreAway("another remover is at it")
        free = not await self._holders(user_id, content_hash)
        if free:
            async with asyncio.timeout(_REMOVE_LIMIT_S):
                await delete()
        key = (_shard(content_hash), unheld.since, user_id, content_hash)
        await self._session.execute(_DELETE_UNHELD, key)
        await self._session.execute(_UNCLAIM, (user_id, content_hash, token))
        return free

    async def _holders(self, user_id: str, content_hash: str) -> list[str]:
        rows = await self._session.execute(_SELECT_HOLDERS, (user_id, content_hash))
        return [row.photo_id for row in rows if row.photo_id is not None]


def _shard(content_hash: str) -> int:
    return zlib.crc32(content_hash.encode()) % _SHARDS
