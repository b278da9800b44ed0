"""What the API counts (Prometheus). The operators' port serves it, never the public one.

With PROMETHEUS_MULTIPROC_DIR set, the client library keeps the values in that folder, so another
process can collect them.
"""

import os
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, values

_late: set[Any] = set()


def write() -> None:
    """Write what was counted since the last time to the files; a few times a second.

    A call counts six times: to write each at once would cost as much as asking Redis for a page.
    """
    while _late:
        value = _late.pop()
        value._file.write_value(value._key, value._value, value._timestamp)  # noqa: SLF001 - as its class does


if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
    _pid = os.getpid()  # the API never forks
    _Written: Any = values.MultiProcessValue(lambda: _pid)  # type: ignore[no-untyped-call] # the library's documented hook for another process id

    class _Counted(_Written):  # type: ignore[misc] # the library's class has no types
        """Counted by one thread, the event loop's; written later."""

        def inc(self, amount: float) -> None:
            """Count."""
            self._value += amount
            _late.add(self)

        def set(self, value: float, timestamp: float | None = None) -> None:
            """Tell."""
            self._value, self._timestamp = value, timestamp or 0.0
            _late.add(self)

    values.ValueClass = _Counted

REQUESTS = Counter("http_requests_total", "Answered calls.", ("method", "route", "status"))
DURATION = Histogram(
    "http_request_duration_seconds",
    "From the request's head to the answer's last byte.",
    ("method", "route"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 10),
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Calls being answered.", multiprocess_mode="livesum")
REFUSED = Counter("http_calls_refused_total", "Calls refused by a limit.", ("limit",))
BREAKER_STATE = Gauge(
    "photofeed_store_breaker_state",
    "0: the store is asked, 1: one call finds out, 2: it isn't asked.",
    ("store",),
    multiprocess_mode="livemax",
)
BREAKER_OPENED = Counter(
    "photofeed_store_breaker_opened_total", "Stores given up for a while.", ("store",)
)
FEED_PAGES = Counter(
    "photofeed_feed_pages_total",
    "Pages of home feeds, by what they can be trusted for and where they come from.",
    ("completeness", "source"),
)
FEED_SHED = Counter(
    "photofeed_feed_reads_shed_total", "Feed reads beyond those that may be under way."
)

FEED_STREAMS = Gauge("photofeed_feed_streams_open", "Streams of news.", multiprocess_mode="livesum")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

FEED_STEP = Histogram(
    "photofeed_feed_read_step_seconds",
    "Where the time of a feed's page goes, step by step; of one read in sixteen.",
    ("step",),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)

_TIMED = 1 / 16


_UNTIMED = nullcontext()


def feed_step(step: str) -> AbstractContextManager[object]:
    """Times one step of a read; a share of them tells for all."""
    if random.random() < _TIMED:  # noqa: S311 - spreads work, guards nothing
        return FEED_STEP.labels(step).time()
    return _UNTIMED


def answered(method: str, route: str, status: int, seconds: float) -> None:
    """Count one call; `route` is the template, so that ids make no labels."""
    method = method if method in _METHODS else "other"
    count, observe = _children(method, route, status)
    count()
    observe(seconds)


@lru_cache(maxsize=4096)
def _children(
    method: str, route: str, status: int
) -> tuple[Callable[[], None], Callable[[float], None]]:
    """Looked up once: the library's own look-up costs as much as the counting."""
    return REQUESTS.labels(method, route, status).inc, DURATION.labels(method, route).observe
