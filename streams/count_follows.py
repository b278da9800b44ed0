"""follow.created, follow.deleted → tables of edges, follower counts and celebrities → Redis.

The table of edges is the only truth; the counts are folded from it when the worker gets its
partitions and kept up while it runs. A count that was itself added to would drift whenever a crash
came between store and changelog; edges with versions can be applied twice, late or replayed whole,
and the counts stay exact (I6; seed section 10).
"""

from collections import Counter
from collections.abc import Sequence

from domain import celebrity
from domain.celebrity import EdgeState
from domain.ports.graph import Celebrities, FollowCache
from schemas.events import FollowCreated, FollowDeleted
from streams.delivery import CelebrityFlags, LiveThreshold
from streams.runtime.stage import Emit, Tables


class CountFollows:
    """The handler of both follow events; keeps the totals of its partitions in memory.

    Tables: `edges` "followee:follower" → [version, following]; `follower_counts` followee → total
    and `celebrities` followee → total when flagged, both written for whoever inspects them.
    """

    def __init__(
        self,
        tables: Tables,
        cache: FollowCache,
        celebrities: Celebrities,
        threshold: LiveThreshold,
    ) -> None:
        self._edges = tables["edges"]
        self._counts = tables["follower_counts"]
        self._flagged = tables["celebrities"]
        self._cache = cache
        self._flags = CelebrityFlags(celebrities, cache)
        self._threshold = threshold
        self._totals: Counter[str] = Counter()

    def recovered(self) -> None:
        """Fold the totals anew from the edges this worker holds now."""
        self._totals = celebrity.totals(
            (key.partition(":")[0], (version, following))
            for key, (version, following) in self._edges.items()
        )

    async def __call__(self, event: FollowCreated | FollowDeleted) -> Sequence[Emit]:
        """Apply the edge and put the absolute count; twice is once. Raises StoreAway, Transient."""
        followee = event.followee_id
        total = self._apply(event)
        await self._cache.put_follower_count(followee, total)
        if celebrity.is_celebrity(total, await self._threshold.followers()):
            await self._flag(followee, total, event.occurred_at)
        elif followee in self._flagged:
            await self._flags.is_set(followee)  # brings back a mirror that was lost with Redis
        return ()

    def _apply(self, event: FollowCreated | FollowDeleted) -> int:
        """No await in here: table, totals and count change together."""
        key = f"{event.followee_id}:{event.follower_id}"
        before = self._stored(key)
        after = celebrity.newest(before, (event.version, isinstance(event, FollowCreated)))
        # Written even when nothing changed: after a crash the store may be ahead of its changelog,
        # and the event that comes again is what brings the changelog up to it.
        self._edges[key] = list(after)
        self._totals[event.followee_id] += celebrity.step(before, after)
        total = self._totals[event.followee_id]
        self._counts[event.followee_id] = total
        return total

    def _stored(self, key: str) -> EdgeState | None:
        state = self._edges.get(key)
        return None if state is None else (state[0], state[1])

    async def _flag(self, user_id: str, total: int, now: int) -> None:
        """The table is only told: what counts is in PostgreSQL."""
        if await self._flags.set(user_id, total, now):
            self._flagged[user_id] = total
