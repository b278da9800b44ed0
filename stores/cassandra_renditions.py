"""Stored renditions by the bytes they were made from, in Cassandra."""

from collections.abc import AsyncIterator
from dataclasses import astuple

from domain.duplicates import Stored
from schemas.events import VariantRef
from stores.cassandra_session import CassandraSession
from stores.checks import checked_id

_HOUR_MS = 3_600_000
_INSERT = """
INSERT INTO renditions_by_sha256
    (sha256, encoder, user_id, width, height, placeholder, phash, variants)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_LOG = "INSERT INTO renditions_log (hour, added, sha256) VALUES (?, ?, ?) USING TTL ?"
_SELECT = """
SELECT user_id, width, height, placeholder, phash, variants FROM renditions_by_sha256
WHERE sha256 = ? AND encoder = ?"""
_ADDED = "SELECT sha256 FROM renditions_log WHERE hour = ? AND added >= ?"
_FORGET = "DELETE FROM renditions_by_sha256 WHERE sha256 = ? AND encoder = ? IF user_id = ?"


class CassandraRenditions:
    """`domain.ports.photos.Renditions` on the tables renditions_by_sha256 and renditions_log."""

    def __init__(self, session: CassandraSession, window_s: int) -> None:
        """`window_s` is how long the log keeps what was added."""
        self._session = session
        self._window_s = window_s

    async def add(self, sha256: str, encoder: str, stored: Stored, now: int) -> None:
        """Remember renditions, then log the hash; twice is once, the newest owner counts."""
        checked_id(stored.user_id, "u_")
        params = (
            *(sha256, encoder, stored.user_id, stored.width, stored.height),
            *(stored.placeholder, stored.phash, [astuple(each) for each in stored.variants]),
        )
        await self._session.execute(_INSERT, params)
        await self._session.execute(_LOG, (now // _HOUR_MS, now, sha256, self._window_s))

    async def get(self, sha256: str, encoder: str) -> Stored | None:
        """What `encoder` made of these bytes, None when it isn't known."""
        rows = await self._session.execute(_SELECT, (sha256, encoder))
        if not rows or rows[0].user_id is None:
            return None
        row = rows[0]
        variants = tuple(VariantRef(*each) for each in row.variants)
        return Stored(row.user_id, row.width, row.height, row.placeholder, row.phash, variants)

    async def forget(self, sha256: str, encoder: str, user_id: str) -> None:
        """Drop the row if it is about objects of this user; absent is fine."""
        await self._session.execute(_FORGET, (sha256, encoder, checked_id(user_id, "u_")))

    async def added(self, since: int, until: int) -> AsyncIterator[list[str]]:
        """Hashes logged from `since` on until the hour of `until` (ms), an hour at a time."""
        for hour in range(until // _HOUR_MS, since // _HOUR_MS - 1, -1):
            rows = await self._session.execute(_ADDED, (hour, since))
            if rows:
                yield [row.sha256 for row in rows]
