"""Object storage by the S3 protocol: the uploads bucket and the private media bucket.

boto3 has no asyncio; its calls run in a few threads of their own. Presigning is local arithmetic.
"""

import asyncio
import base64
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import (
    ConnectionError as Unconnected,
)
from pydantic import SecretStr

from domain.errors import Reason, StoreAway, Transient, Unrecoverable
from domain.settings import Uploads

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")

_THREADS = 8
_WHOLE_S = 60.0
_AWAY = (Unconnected, HTTPClientError, IncompleteReadError, TimeoutError)
_GONE = {"404", "412", "NoSuchKey", "PreconditionFailed"}
_SERVER_ERROR = 500
_CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=_THREADS,
    # Sums only where this module asks for one: the default trailer is AWS's alone.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class StoredObject(NamedTuple):
    """What HEAD tells; `etag` is without quotes."""

    size_bytes: int
    content_type: str
    etag: str


class S3Objects:
    """`domain.ports.Objects`."""

    def __init__(
        self, endpoint_url: str, access_key: SecretStr, secret_key: SecretStr, uploads: Uploads
    ) -> None:
        self._endpoint_url = endpoint_url
        self._keys = (access_key, secret_key)
        self._bucket = uploads.bucket
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def presign_put(
        self, key: str, content_type: str, size_bytes: int, expires_s: int, sha256: str | None
    ) -> tuple[str, dict[str, str]]:
        """A PUT URL into the uploads bucket, and every header that is signed with it.

        Another length, type or SHA-256 (`sha256` is hexadecimal) is refused, and so is a second
        PUT: what was verified once is not replaced (seed section 5b).
        """
        params = {
            "Bucket": self._bucket,
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
        url = await self._in_thread(
            lambda: self._client.generate_presigned_url("put_object", params, ExpiresIn=expires_s)
        )
        return url, headers

    async def head(self, bucket: str, key: str) -> StoredObject | None:
        """Size, type and ETag, None when there is no such object."""

        def call() -> StoredObject | None:
            try:
                answer = self._client.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _code(error) in _GONE:
                    return None
                raise
            etag = answer["ETag"].strip('"')
            return StoredObject(answer["ContentLength"], answer["ContentType"], etag)

        return await self._in_thread(call)

    async def get(self, bucket: str, key: str, *, etag: str | None = None) -> bytes:
        """The bytes. Raises Unrecoverable(missing_object) when gone or of another ETag."""

        def call() -> bytes:
            match = "*" if etag is None else f'"{etag}"'
            try:
                answer = self._client.get_object(Bucket=bucket, Key=key, IfMatch=match)
                return answer["Body"].read()
            except ClientError as error:
                if _code(error) in _GONE:
                    raise Unrecoverable(Reason.MISSING_OBJECT, f"{bucket}/{key}") from error
                raise

        return await self._in_thread(call)

    async def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        """Store; the same bytes twice is once."""
        await self._in_thread(
            lambda: self._client.put_object(
                Bucket=bucket, Key=key, Body=data, ContentType=content_type
            )
        )

    async def delete(self, bucket: str, key: str) -> None:
        """Remove; absent is fine."""
        await self._in_thread(lambda: self._client.delete_object(Bucket=bucket, Key=key))

    async def close(self) -> None:
        """Let running calls end and close the connections."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._client.close()

    async def _in_thread(self, call: Callable[[], T]) -> T:
        """Run a call of boto3 off the loop. Raises StoreAway, Transient, Unrecoverable."""
        loop = asyncio.get_running_loop()
        with _translated():
            async with asyncio.timeout(_WHOLE_S):
                return await loop.run_in_executor(self._threads, call)

    @cached_property
    def _client(self) -> "S3Client":
        access_key, secret_key = (key.get_secret_value() for key in self._keys)
        client: S3Client = boto3.session.Session().client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self._endpoint_url,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=_CONFIG,
        )
        return client


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


@contextmanager
def _translated() -> Iterator[None]:
    """Raise the project's errors for boto3's; a refused key or bucket comes as it is."""
    try:
        yield
    except _AWAY as error:
        raise StoreAway(f"s3: {type(error).__name__}") from error
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] < _SERVER_ERROR:
            raise
        raise Transient(f"s3: {_code(error)}") from error
