"""Ports: objects and uploads whose end isn't settled."""

from collections.abc import Sequence
from typing import Protocol

from domain.uploads import OpenUpload, Part


class OpenUploads(Protocol):
    """Uploads whose end is not settled, by the minute (since 1970) they were announced in."""

    async def add(self, upload: OpenUpload) -> None:
        """Remember an upload; twice is once."""

    async def upload_id(self, photo_id: str) -> str | None:
        """The multipart upload of an open upload, None without one or when it is closed."""

    async def of_minutes(self, minutes: Sequence[int]) -> dict[int, list[OpenUpload]]:
        """The open uploads announced in these minutes, by minute; empty ones lack."""

    async def close(self, photo_id: str) -> None:
        """Its end is settled; twice is once."""


class Objects(Protocol):
    """Object storage: the uploads bucket and the private media bucket."""

    async def presign_put(
        self, key: str, content_type: str, size_bytes: int, expires_s: int, sha256: str | None
    ) -> tuple[str, dict[str, str]]:
        """A PUT URL with If-None-Match:* and every header the client must send."""

    async def head(self, bucket: str, key: str) -> "ObjectInfo | None":
        """Size, type and ETag, None when there is no such object."""

    async def get(self, bucket: str, key: str, *, etag: str | None = None) -> bytes:
        """The bytes. Raises Unrecoverable(missing_object) when gone or of another ETag."""

    async def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store; the same bytes twice is once."""

    async def delete(self, bucket: str, key: str) -> None:
        """Remove; absent is fine."""


class Multiparts(Protocol):
    """Multipart uploads into the uploads bucket; the object appears when one is completed."""

    async def begin(self, key: str, content_type: str) -> str:
        """Open a multipart upload of that type; its id. Every call opens another."""

    async def presign_parts(
        self, key: str, upload_id: str, parts: Sequence[Part], expires_s: int
    ) -> list[str]:
        """A URL for each part; another length than the part's is refused."""

    async def presign_complete(
        self, key: str, upload_id: str, expires_s: int
    ) -> tuple[str, dict[str, str]]:
        """A POST URL with which a client completes by itself, and every header it must send."""

    async def parts(self, key: str, upload_id: str) -> list[Part] | None:
        """The parts held, by number; None when the upload was completed or aborted."""

    async def complete(self, key: str, upload_id: str, parts: Sequence[Part]) -> None:
        """Make the object of its parts; one that is there stays, so twice is once."""

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop what was uploaded; twice is once, and a completed object stays."""

    async def abort_older(self, before_ms: int) -> int:
        """Abort every multipart upload begun before (Unix ms); how many."""


class ObjectInfo(Protocol):
    """What HEAD tells."""

    @property
    def size_bytes(self) -> int:
        """Length of the object."""

    @property
    def content_type(self) -> str:
        """Declared type."""

    @property
    def etag(self) -> str:
        """Entity tag, without quotes."""
