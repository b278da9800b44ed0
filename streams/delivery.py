"""Push or pull: the sticky flag, the author's followers and the live threshold (seed section 10).

A flag is durable in PostgreSQL; Redis mirrors it where it is looked at. A mirror that was lost with
Redis comes back the next time anyone looks, and only a clear takes the flag away.
"""

import time
from collections.abc import Callable

from domain import celebrity
from domain.entities import Delivery
from domain.ports.graph import Celebrities, FollowCache, Follows, PushLimit
from streams.runtime.metrics import PushMetrics

THRESHOLD_AGE_S = 5.0
"""How long the live threshold is remembered."""

COUNT_AGE_S = 60.0
_COUNTED = 10_000
"""Authors whose counts are remembered."""

Monotonic = Callable[[], float]


class CelebrityFlags:
    """The sticky flags, mirror first. Every method raises StoreAway or Transient."""

    def __init__(self, celebrities: Celebrities, cache: FollowCache) -> None:
        self._celebrities = celebrities
        self._cache = cache

    async def is_set(self, user_id: str) -> bool:
        """Whether readers pull this author's new posts for good."""
        mirrored = await self._cache.is_celebrity(user_id)
        if mirrored is None and await self._celebrities.is_flagged(user_id):
            await self._mirror(user_id, flagged=True)
            return True
        return mirrored or False

    async def set(self, user_id: str, followers: int, now: int) -> bool:
        """Durably first, then where it is looked at; whether it wasn't set. Twice is once."""
        if await self.is_set(user_id):
            return False
        await self._celebrities.flag(user_id, followers, now)
        await self._mirror(user_id, flagged=True)
        return True

    async def clear(self, user_id: str) -> bool:
        """Take it away; whether it was set. The mirror goes in any case: a clear may break off."""
        cleared = await self._celebrities.clear(user_id)
        await self._mirror(user_id, flagged=False)
        return cleared

    async def _mirror(self, user_id: str, *, flagged: bool) -> None:
        """Whoever puts last looks at the flag after that: the mirror ends as the flag does."""
        await self._cache.put_celebrity(user_id, flagged=flagged)
        while await self._celebrities.is_flagged(user_id) is not flagged:
            flagged = not flagged
            await self._cache.put_celebrity(user_id, flagged=flagged)


class LiveThreshold:
    """The operators' threshold, or the configured one until they set it.

    With an adaptive limit it is the ceiling, and the limit counts below it.
    """

    def __init__(
        self,
        celebrities: Celebrities,
        default: int,
        limit: PushLimit | None = None,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._celebrities = celebrities
        self._default = default
        self._limit = limit
        self._monotonic = monotonic
        self._known: tuple[float, int] | None = None

    async def followers(self) -> int:
        """From so many followers on posts are pulled. Raises StoreAway, Transient."""
        now = self._monotonic()
        if self._known is None or now - self._known[0] > THRESHOLD_AGE_S:
            self._known = (now, await self._read())
        return self._known[1]

    async def _read(self) -> int:
        ceiling = await self._celebrities.threshold() or self._default
        adaptive = await self._limit.followers() if self._limit else None
        return min(ceiling, adaptive or ceiling)


class Deliveries:
    """How an author's next post is to be delivered."""

    def __init__(
        self,
        flags: CelebrityFlags,
        threshold: LiveThreshold,
        follows: Follows,
        cache: FollowCache,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._flags = flags
        self._threshold = threshold
        self._follows = follows
        self._cache = cache
        self._monotonic = monotonic
        self._metrics = PushMetrics()
        self._counts: dict[str, tuple[float, int]] = {}

    async def choose(self, author_id: str) -> Delivery:
        """Pull when the flag is set or the followers are too many.

        Raises StoreAway, Transient: what can't be read is never taken for a small author.
        """
        if await self._flags.is_set(author_id):
            return Delivery.PULL
        threshold = await self._threshold.followers()
        self._metrics.threshold(threshold)
        return celebrity.delivery(await self._followers(author_id), threshold)

    async def _followers(self, author_id: str) -> int:
        """At most a minute old; counted from the edges when no cache has it."""
        now = self._monotonic()
        known = self._counts.get(author_id)
        if known is not None and now - known[0] <= COUNT_AGE_S:
            return known[1]
        count = await self._cache.follower_count(author_id)
        if count is None:
            count, _ = await self._follows.counts(author_id)
        if len(self._counts) >= _COUNTED:
            self._counts.clear()
        self._counts[author_id] = (now, count)
        return count
