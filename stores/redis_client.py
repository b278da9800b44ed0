"""The Redis client that the caches share, and what its errors mean to us."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from domain.errors import StoreAway, Transient

CONNECT_LIMIT_S = 0.5
ANSWER_LIMIT_S = 2.0
RENEWING_SHARE = 1 / 16

_AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ClusterDownError)
_TRANSIENT = (
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.NoScriptError,  # restarted between a pipeline's check and its run
)


def connect(url: str) -> Redis:
    """A client of `url`; it connects at its first call.

    One immediate retry covers a pooled connection that a restarted server has closed; whoever
    calls decides about longer waits. Every method of the caches is safe to repeat.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_LIMIT_S,
        socket_timeout=ANSWER_LIMIT_S,
        retry=Retry(NoBackoff(), 1),
    )


def renews() -> bool:
    """Whether this reading renews the lives of what it read: a share of them does for all.

    A page's worth of EXPIREs on every read costs more than the read itself. What is read often
    is renewed in time almost surely; what isn't may as well be fetched again.
    """
    return random.random() < RENEWING_SHARE  # noqa: S311 - spreads load, guards nothing


@contextmanager
def store_errors() -> Iterator[None]:
    """Name the server's errors by what the caller must do. Raises StoreAway, Transient.

    A command that the server refuses for another reason is a mistake of ours: it passes.
    """
    try:
        yield
    except _AWAY as error:
        raise StoreAway(f"redis: {error}") from error
    except _TRANSIENT as error:
        raise Transient(f"redis: {error}") from error
