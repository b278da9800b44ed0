"""Uploads whose end is not settled, in Cassandra: found by minute, without a scan of all photos."""

from collections.abc import Sequence

from domain import ids
from domain.uploads import OpenUpload
from stores.cassandra_session import CassandraSession
from stores.checks import checked_id

_MINUTE_MS = 60_000
_INSERT = "INSERT INTO open_uploads (minute, photo_id, upload_id) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM open_uploads WHERE minute = ? AND photo_id = ?"
_SELECT_ONE = "SELECT upload_id FROM open_uploads WHERE minute = ? AND photo_id = ?"
_SELECT = "SELECT minute, photo_id, upload_id FROM open_uploads WHERE minute IN ?"


class CassandraOpenUploads:
    """`domain.ports.uploads.OpenUploads` on the table open_uploads."""

    def __init__(self, session: CassandraSession) -> None:
        self._session = session

    async def add(self, upload: OpenUpload) -> None:
        """Remember an upload; twice is once."""
        params = (*_key(upload.photo_id), upload.upload_id)
        await self._session.execute(_INSERT, params)

    async def upload_id(self, photo_id: str) -> str | None:
        """The multipart upload of an open upload, None without one or when it is closed."""
        rows = await self._session.execute(_SELECT_ONE, _key(photo_id))
        return rows[0].upload_id if rows else None

    async def of_minutes(self, minutes: Sequence[int]) -> dict[int, list[OpenUpload]]:
        """The open uploads announced in these minutes (since 1970), by minute; empty ones lack."""
        found: dict[int, list[OpenUpload]] = {}
        for row in await self._session.select_in(_SELECT, minutes):
            found.setdefault(row.minute, []).append(OpenUpload(row.photo_id, row.upload_id))
        return found

    async def close(self, photo_id: str) -> None:
        """Its end is settled; twice is once."""
        await self._session.execute(_DELETE, _key(photo_id))


def _key(photo_id: str) -> tuple[int, str]:
    return ids.time_of(checked_id(photo_id, "ph_")) // _MINUTE_MS, photo_id
