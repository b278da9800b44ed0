"""Object storage in memory, for pure tests; it passes the contract tests of the real one."""

import base64
import hashlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

from domain.errors import Reason, Unrecoverable


class MemoryObject(NamedTuple):
    """What HEAD tells; `etag` is without quotes."""

    size_bytes: int
    content_type: str
    etag: str


class MemoryObjects:
    """`domain.ports.uploads.Objects`; `receive` is the PUT of a client."""

    def __init__(self, bucket: str = "uploads") -> None:
        self.bucket = bucket
        self.kept: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.signed: dict[str, tuple[str, dict[str, str]]] = {}

    async def presign_put(
        self, key: str, content_type: str, size_bytes: int, expires_s: int, sha256: str | None
    ) -> tuple[str, dict[str, str]]:
        """A URL that `receive` takes, and every header that is signed with it."""
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size_bytes),
            "If-None-Match": "*",
        }
        if sha256 is not None:
            headers["x-amz-checksum-sha256"] = base64.b64encode(bytes.fromhex(sha256)).decode()
        url = f"memory://{self.bucket}/{key}?{len(self.signed)}&expires_s={expires_s}"
        self.signed[url] = (key, dict(headers))
        return url, headers

    async def receive(self, url: str, headers: Mapping[str, str], data: bytes) -> int:
        """PUT `data` to a presigned URL; the HTTP status. Its length is that of the data."""
        key, signed = self.signed[url]
        if {**headers, "Content-Length": str(len(data))} != signed:
            return HTTPStatus.FORBIDDEN
        wanted = signed.get("x-amz-checksum-sha256")
        if wanted not in (None, base64.b64encode(hashlib.sha256(data).digest()).decode()):
            return HTTPStatus.BAD_REQUEST
        if (self.bucket, key) in self.kept:
            return HTTPStatus.PRECONDITION_FAILED
        self.kept[self.bucket, key] = (data, signed["Content-Type"])
        return HTTPStatus.OK

    async def head(self, bucket: str, key: str) -> MemoryObject | None:
        """Size, type and ETag, None when there is no such object."""
        if (bucket, key) not in self.kept:
            return None
        data, content_type = self.kept[bucket, key]
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return MemoryObject(len(data), content_type, etag)

    async def get(self, bucket: str, key: str, *, etag: str | None = None) -> bytes:
        """The bytes. Raises Unrecoverable(missing_object) when gone or of another ETag."""
        found = await self.head(bucket, key)
        if found is None or etag not in (None, found.etag):
            raise Unrecoverable(Reason.MISSING_OBJECT, f"{bucket}/{key}")
        return self.kept[bucket, key][0]

    async def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store; the same bytes twice is once."""
        self.kept[bucket, key] = (data, content_type)

    async def delete(self, bucket: str, key: str) -> None:
        """Remove; absent is fine."""
        self.kept.pop((bucket, key), None)
