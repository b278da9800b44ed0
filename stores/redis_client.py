"""How long anything waits for Redis, and the library's own client for what isn't a cache."""

import random

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_LIMIT_S = 0.5
ANSWER_LIMIT_S = 2.0
RENEWING_SHARE = 1 / 16


def connect(url: str) -> Redis:
    """A client of `url`; it connects at its first call.

    One immediate retry covers a pooled connection that a restarted server has closed; whoever
    calls decides about longer waits.
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
