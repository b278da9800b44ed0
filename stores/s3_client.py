"""The S3 client of one process, called off the loop, with the project's errors.

boto3 has no asyncio; its calls run in a few threads of their own. Presigning is local arithmetic.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

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

from domain.errors import StoreAway, Transient
from domain.settings import Uploads

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

T = TypeVar("T")

_THREADS = 8
_WHOLE_S = 60.0
_AWAY = (Unconnected, HTTPClientError, IncompleteReadError, TimeoutError)
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


class S3Session:
    """What the S3 adapters share: one client, its threads and its errors."""

    def __init__(
        self, endpoint_url: str, access_key: SecretStr, secret_key: SecretStr, uploads: Uploads
    ) -> None:
        self._endpoint_url = endpoint_url
        self._keys = (access_key, secret_key)
        self.bucket = uploads.bucket
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")

    async def close(self) -> None:
        """Let running calls end and close the connections."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self.client.close()

    async def call(self, run: Callable[[], T]) -> T:
        """Run a call of boto3 off the loop. Raises StoreAway, Transient, Unrecoverable."""
        loop = asyncio.get_running_loop()
        with _translated():
            async with asyncio.timeout(_WHOLE_S):
                return await loop.run_in_executor(self._threads, run)

    @cached_property
    def client(self) -> "S3Client":
        """The blocking client; only `call` uses it."""
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


def code(error: ClientError) -> str:
    """What S3 calls the error."""
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
        raise Transient(f"s3: {code(error)}") from error
