"""Limits on calls (contract, section 2 "Limits"): counted in Redis, or here while that is away.

The narrow limits (uploads, registrations, failed authentication) hold for the whole fleet and
slide exactly. The general ones protect this process and are counted in it: a shared count would
cost every read a round trip of its own.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from api import metrics
from api.problems import RATE_LIMITED, Problem
from api.resilience.breakers import Breaker
from domain.errors import StoreAway
from domain.settings import Limits

WINDOW_S = 60
_QUOTA = attrgetter("quota")


class Left(NamedTuple):
    """What is left of a limit after a call."""

    name: str
    quota: int
    remaining: int
    reset_s: int

    @property
    def state(self) -> str:
        """An item of RateLimit (draft-ietf-httpapi-ratelimit-headers)."""
        return f'"{self.name}";r={self.remaining};t={self.reset_s}'


class SlidingCounts:
    """Calls in the last minute by key: this window's count and a share of the one before.

    Forgetting is dropping the older of two tables, so memory is bound by two minutes of callers.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = 0
        self._current: dict[tuple[str, str], int] = {}
        self._before: dict[tuple[str, str], int] = {}

    def count(self, name: str, key: str, quota: int, *, hit: bool) -> tuple[bool, Left]:
        """Whether one more call fits, counting it if `hit`, and what is left then."""
        minutes = self._clock() / WINDOW_S
        window = int(minutes)
        passed = minutes - window
        if window != self._window:
            self._before = self._current if window == self._window + 1 else {}
            self._current = {}
            self._window = window
        slot = name, key
        current = self._current.get(slot, 0)
        used = self._before.get(slot, 0) * (1 - passed) + current
        allowed = used + 1 <= quota
        if allowed and hit:
            self._current[slot] = current + 1
            used += 1
        left = max(0, int(quota - used))
        return allowed, Left(name, quota, left, math.ceil((1 - passed) * WINDOW_S))


class Limiter:
    """Counts calls by limit and key, and refuses those beyond the quota.

    What was counted is noted in the call's `state`, so that the answer's headers can tell.
    """

    def __init__(self, settings: Limits, storage: RedisStorage, breaker: Breaker) -> None:
        self._quotas = {
            "uploads": settings.uploads_per_user,
            "unauthenticated": settings.unauthenticated_per_ip,
            "registrations": settings.registrations_per_ip,
            "user": settings.calls_per_user,
            "ip": settings.calls_per_ip,
        }
        self._items: dict[str, RateLimitItem] = {
            name: RateLimitItemPerMinute(quota, namespace=name)
            for name, quota in self._quotas.items()
        }
        self._shared = MovingWindowRateLimiter(storage)
        self._own = SlidingCounts()
        self._breaker = breaker

    async def spend(self, state: dict[str, Any], name: str, key: str) -> None:
        """Count a call against a fleet-wide limit. Raises Problem(rate-limited)."""
        _note(state, *await self._ask(name, key, hit=True))

    async def check(self, state: dict[str, Any], name: str, key: str) -> None:
        """Refuse when a fleet-wide limit is used up, counting nothing. Raises Problem."""
        _note(state, *await self._ask(name, key, hit=False))

    def spend_general(self, state: dict[str, Any], name: str, key: str) -> None:
        """Count a call against one of this process's general limits. Raises Problem."""
        _note(state, *self._own.count(name, key, self._quotas[name], hit=True))

    async def _ask(self, name: str, key: str, *, hit: bool) -> tuple[bool, Left]:
        try:
            return await self._breaker.run(self._ask_redis, name, key, hit=hit)
        except StoreAway:
            return self._own.count(name, key, self._quotas[name], hit=hit)

    async def _ask_redis(self, name: str, key: str, *, hit: bool) -> tuple[bool, Left]:
        item = self._items[name]
        try:
            allowed = await (self._shared.hit if hit else self._shared.test)(item, key)
            stats = await self._shared.get_window_stats(item, key)
        except StorageError as error:
            raise StoreAway(f"redis: {type(error.storage_error).__name__}") from error
        reset_s = min(WINDOW_S, max(0, math.ceil(stats.reset_time - time.time())))
        return allowed, Left(name, self._quotas[name], max(0, stats.remaining), reset_s)


def headers(state: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """The RateLimit headers of what a call was counted against, the narrowest limit first."""
    told: list[Left] = sorted(state.get("limits", {}).values(), key=_QUOTA)
    if not told:
        return []
    return [
        (b"ratelimit-policy", _policy(tuple((left.name, left.quota) for left in told))),
        (b"ratelimit", ", ".join([left.state for left in told]).encode()),
    ]


@lru_cache(maxsize=64)
def _policy(limits: tuple[tuple[str, int], ...]) -> bytes:
    """RateLimit-Policy of limits by name and quota: there are few, and they don't change."""
    return ", ".join(f'"{name}";q={quota};w={WINDOW_S}' for name, quota in limits).encode()


def _note(state: dict[str, Any], allowed: bool, left: Left) -> None:
    state.setdefault("limits", {})[left.name] = left
    if not allowed:
        metrics.REFUSED.labels(left.name).inc()
        raise Problem(
            RATE_LIMITED,
            f"limit {left.name!r}: {left.quota} calls in {WINDOW_S} s",
            headers={"Retry-After": str(max(1, left.reset_s))},
        )
