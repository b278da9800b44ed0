"""Object storage by the S3 protocol: the uploads bucket and the private media bucket."""

import base64
from typing import NamedTuple

from botocore.exceptions import ClientError

from domain.errors import Reason, Unrecoverable
from stores.s3_client import S3Session, code

_GONE = {"404", "412", "NoSuchKey", "PreconditionFailed"}


class StoredObject(NamedTuple):
    """What HEAD tells; `etag` is without quotes."""

    size_bytes: int
    content_type: str
    etag: str


class S3Objects(S3Session):
    """`domain.ports.uploads.Objects`."""

    async def presign_put(
        self, key: str, content_type: str, size_bytes: int, expires_s: int, sha256: str | None
    ) -> tuple[str, dict[str, str]]:
        """A PUT URL into the uploads bucket, and every header that is signed with it.

        Another length, type or SHA-256 (`sha256` is hexadecimal) is refused, and so is a second
        PUT: what was verified once is not replaced (seed section 5b).
        """
        params = {
            "Bucket": self.bucket,
            "Key": key,
            "ContentType": content_type,
            "ContentLength": size_bytes,
            "IfNoneMatch": "*",
        }
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size_bytes),
            "If-None-Match": "*",
        }
        if sha256 is not None:
            checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
            params["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = checksum
        url = await self.call(
            lambda: self.client.generate_presigned_url("put_object", params, ExpiresIn=expires_s)
        )
        return url, headers

    async def head(self, bucket: str, key: str) -> StoredObject | None:
        """Size, type and ETag, None when there is no such object."""

        def call() -> StoredObject | None:
            try:
                answer = self.client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if code(error) in _GONE:
                    return None
                raise
            etag = answer["ETag"].strip('"')
            return StoredObject(answer["ContentLength"], answer["ContentType"], etag)

        return await self.call(call)

    async def get(self, bucket: str, key: str, *, etag: str | None = None) -> bytes:
        """The bytes. Raises Unrecoverable(missing_object) when gone or of another ETag."""

        def call() -> bytes:
            match = "*" if etag is None else f'"{etag}"'
            try:
                answer = self.client.get_object(Bucket=bucket, Key=key, IfMatch=match)
                return answer["Body"].read()
            except ClientError as error:
                if code(error) in _GONE:
                    raise Unrecoverable(Reason.MISSING_OBJECT, f"{bucket}/{key}") from error
                raise

        return await self.call(call)

    async def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store; the same bytes twice is once."""
        await self.call(
            lambda: self.client.put_object(
                Bucket=bucket, Key=key, Body=data, ContentType=content_type
            )
        )

    async def delete(self, bucket: str, key: str) -> None:
        """Remove; absent is fine."""
        await self.call(lambda: self.client.delete_object(Bucket=bucket, Key=key))
