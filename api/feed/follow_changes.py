"""Whose cached follow set is older than the graph, as far as this process changed it.

`following:{user_id}` says who may be shown. It is forgotten after each change, which Redis may not
hear of: then the set of before is still there when it comes back, for its TTL or until
`refill_feeds` drops it. Here nobody's feed is read from it meanwhile.
"""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress

from api.resilience.breakers import Breaker
from domain.errors import Transient
from domain.ports.graph import FollowCache

FOLLOWS_TOLD_S = 600.0
"""Longer than a cached follow set may live (`Feed.following_ttl_s`)."""
_FORGET_LIMIT_S = 0.5  # what who follows or unfollows pays at most; Redis answers in milliseconds


class Recently:
    """When something happened to an id, as long as that matters."""

    def __init__(self, life_s: float) -> None:
        self._life_s = life_s
        self._when: OrderedDict[str, float] = OrderedDict()

    def __contains__(self, key: str) -> bool:
        """Whether it happened, maybe a little longer ago."""
        return key in self._when

    def note(self, key: str, now: float) -> None:
        """It happened now."""
        self._when[key] = now
        self._when.move_to_end(key)
        while self._when[next(iter(self._when))] < now - self._life_s:
            self._when.popitem(last=False)

    def when(self, key: str) -> float | None:
        """The last time, if it was lately."""
        return self._when.get(key)

    def forget(self, key: str, when: float | None) -> None:
        """As if it hadn't happened, unless it did again after that time."""
        if self._when.get(key) == when:
            self._when.pop(key, None)


class FollowChanges:
    """Forgets cached follow sets, and knows which are yet to be forgotten."""

    def __init__(self, follow_cache: FollowCache, breaker: Breaker) -> None:
        self._cache = follow_cache
        self._breaker = breaker
        self.unforgotten = Recently(FOLLOWS_TOLD_S)

    async def forget(self, viewer_id: str) -> None:
        """Forget the set after a change, as far as that can be done soon.

        It is tried whatever the breaker says: other processes may have found that Redis is back.
        """
        self.unforgotten.note(viewer_id, time.monotonic())
        with suppress(Transient, TimeoutError):
            async with asyncio.timeout(_FORGET_LIMIT_S):
                await self._forget(viewer_id)

    async def settle(self, viewer_id: str) -> bool:
        """Forget the set before a read; whether that succeeded."""
        try:
            await self._breaker.run(self._forget, viewer_id)
        except Transient:
            return False
        return True

    async def _forget(self, viewer_id: str) -> None:
        changed_at = self.unforgotten.when(viewer_id)
        await self._cache.forget_following(viewer_id)
        self.unforgotten.forget(viewer_id, changed_at)
