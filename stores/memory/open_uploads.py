"""Open uploads and multipart uploads in memory, for pure tests; they pass the contract tests."""

import hashlib
import secrets
import time
from collections.abc import Sequence
from http import HTTPStatus

from domain import ids
from domain.uploads import OpenUpload, Part
from stores.checks import checked_id
from stores.memory.s3 import MemoryObjects

_MINUTE_MS = 60_000


class MemoryOpenUploads:
    """`domain.ports.uploads.OpenUploads`."""

    def __init__(self) -> None:
        self.rows: dict[str, OpenUpload] = {}

    async def add(self, upload: OpenUpload) -> None:
        """Remember an upload; twice is once."""
        self.rows[checked_id(upload.photo_id, "ph_")] = upload

    async def upload_id(self, photo_id: str) -> str | None:
        """The multipart upload of an open upload."""
        row = self.rows.get(checked_id(photo_id, "ph_"))
        return None if row is None else row.upload_id

    async def of_minutes(self, minutes: Sequence[int]) -> dict[int, list[OpenUpload]]:
        """The open uploads announced in these minutes, by minute."""
        found: dict[int, list[OpenUpload]] = {}
        for row in self.rows.values():
            minute = ids.time_of(row.photo_id) // _MINUTE_MS
            if minute in minutes:
                found.setdefault(minute, []).append(row)
        return found

    async def close(self, photo_id: str) -> None:
        """Its end is settled; twice is once."""
        self.rows.pop(checked_id(photo_id, "ph_"), None)


class MemoryMultiparts:
    """The port `Multiparts` on the objects of a MemoryObjects; `receive` takes a part."""

    def __init__(self, objects: MemoryObjects) -> None:
        self._objects = objects
        self._open: dict[tuple[str, str], tuple[int, str, dict[int, bytes]]] = {}
        self._signed: dict[str, tuple[str, str, Part]] = {}

    async def begin(self, key: str, content_type: str) -> str:
        """Open a multipart upload; its id."""
        upload_id = secrets.token_hex(8)
        self._open[key, upload_id] = (time.time_ns() // 1_000_000, content_type, {})
        return upload_id

    async def presign_parts(
        self, key: str, upload_id: str, parts: Sequence[Part], expires_s: int
    ) -> list[str]:
        """A URL for each part that `receive` takes."""
        urls = [f"memory://{key}/{upload_id}/{part.number}?{expires_s}" for part in parts]
        self._signed |= {url: (key, upload_id, part) for url, part in zip(urls, parts, strict=True)}
        return urls

    async def presign_complete(
        self, key: str, upload_id: str, expires_s: int
    ) -> tuple[str, dict[str, str]]:
        """A URL that nothing here takes."""
        return f"memory://{key}/{upload_id}?{expires_s}", {}

    async def receive(self, url: str, data: bytes) -> int:
        """PUT a part; the HTTP status."""
        key, upload_id, part = self._signed[url]
        if len(data) != part.size_bytes:
            return HTTPStatus.FORBIDDEN
        if (key, upload_id) not in self._open:
            return HTTPStatus.NOT_FOUND
        self._open[key, upload_id][2][part.number] = data
        return HTTPStatus.OK

    async def parts(self, key: str, upload_id: str) -> list[Part] | None:
        """The parts held, by number; None when there is no such upload any more."""
        if (key, upload_id) not in self._open:
            return None
        held = self._open[key, upload_id][2]
        return [Part(number, len(data), _etag(data)) for number, data in sorted(held.items())]

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts, unless it is there; twice is once."""
        bucket = self._objects.bucket
        if (key, upload_id) in self._open and (bucket, key) not in self._objects.kept:
            _, content_type, held = self._open.pop((key, upload_id))
            data = b"".join(held[part.number] for part in parts)
            self._objects.kept[bucket, key] = (data, content_type)

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop what was uploaded; twice is once."""
        self._open.pop((key, upload_id), None)

    async def abort_older(self, before_ms: int) -> int:
        """Abort every multipart upload begun before; how many."""
        old = [place for place, (begun, _, _) in self._open.items() if begun < before_ms]
        for place in old:
            del self._open[place]
        return len(old)


def _etag(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
