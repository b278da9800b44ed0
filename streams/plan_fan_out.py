"""post.published → fanout.chunk*.

Decides once how a post reaches its readers (seed sections 5 and 10), and splits the work into
ranges of follower ids, so that the writers share it evenly.

* Push: each range gets the post. A post without followers has no ranges.
* Pull: readers fetch the author's posts, so there is nothing to write, but for the post that tells
  of it, the first whose chunks Kafka has: their ranges get the mark that makes readers look
  (docs/decisions/0013-push-or-pull.md).

Nobody is missed by the marks. Pulling has begun (S, its commit) before the ranges are read (R). Who
followed before R is in a range; who follows later is handled by `refill_feeds`, which looks for
pulled authors after the follow, so after S. A feed that doesn't exist when its mark is written is
built later, and the builder looks after S, too.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from domain.entities import Delivery, FanOut, FeedEntry
from domain.ids import derived
from domain.ports.feeds import Timelines
from domain.ports.graph import Celebrities, FollowCache, Follows, PushLimit
from domain.ports.photos import Photos
from domain.settings import Feed
from schemas.events import FanoutChunk, PostPublished
from streams.delivery import CelebrityFlags, Deliveries, LiveThreshold
from streams.runtime.metrics import PushMetrics
from streams.runtime.runner import now_ms
from streams.runtime.stage import Emit
from topics.catalog import FANOUT_CHUNK


class FanOutStores(Protocol):
    """The ports that a delivery is decided by and told to."""

    @property
    def photos(self) -> Photos:
        """The rows, and the decisions on them."""

    @property
    def follows(self) -> Follows:
        """Who is to get the post."""

    @property
    def celebrities(self) -> Celebrities:
        """Flags, the threshold, and whose posts are pulled."""

    @property
    def push_limit(self) -> PushLimit:
        """The adaptive threshold."""

    @property
    def follow_cache(self) -> FollowCache:
        """The flags' mirror and the counts."""

    @property
    def pulls(self) -> Timelines:
        """Authors' own newest posts."""


def chunk(
    post: PostPublished, number: int, bounds: tuple[str, str], *, mark: bool = False
) -> FanoutChunk:
    """The event of one range (after_id, upto_id]; a retry makes the same one."""
    after_id, upto_id = bounds
    return FanoutChunk(
        event_id=derived(post.event_id, f"chunk{number}"),
        occurred_at=post.occurred_at,
        version=post.version,
        post_id=post.post_id,
        user_id=post.user_id,
        published_at=post.published_at,
        chunk_no=number,
        after_id=after_id,
        upto_id=upto_id,
        mark=mark,
    )


class PlanFanOut:
    """The handler of post.published.

    A follower who comes after the ranges were read may be in none of them: that follow's own
    event brings the post, because the post's row is older (see `refill_feeds`).
    """

    def __init__(self, stores: FanOutStores, feed: Feed, clock: Callable[[], int] = now_ms) -> None:
        self._photos = stores.photos
        self._follows = stores.follows
        self._celebrities = stores.celebrities
        self._pulls = stores.pulls
        self._deliveries = Deliveries(
            CelebrityFlags(stores.celebrities, stores.follow_cache),
            LiveThreshold(
                stores.celebrities,
                feed.celebrity_threshold,
                stores.push_limit if feed.adaptive_threshold else None,
            ),
            stores.follows,
            stores.follow_cache,
        )
        self._size = feed.chunk_followers
        self._clock = clock
        self._metrics = PushMetrics()

    async def __call__(self, event: PostPublished) -> Sequence[Emit]:
        """One chunk a range of followers, if there is something to tell them.

        Raises Unrecoverable(unknown_post) without a row, StoreAway, Transient.
        """
        author_id, post_id = event.user_id, event.post_id
        delivery = await self._decide(event)
        if delivery is None:
            return ()
        pulled = delivery is Delivery.PULL
        if pulled and not await self._tells_of_pulling(author_id, post_id):
            return ()
        bounds = [b async for b in self._follows.chunk_bounds(author_id, self._size)]
        return [
            Emit(FANOUT_CHUNK, chunk(event, number, each, mark=pulled))
            for number, each in enumerate(bounds)
        ]

    async def conclude(self, event: PostPublished, emits: Sequence[Emit]) -> None:
        """No further post tells of pulling once this one's marks are on their way.

        Raises StoreAway, Transient.
        """
        chunks = (emit.event for emit in emits)
        if any(isinstance(each, FanoutChunk) and each.mark for each in chunks):
            await self._celebrities.pulling_told(event.user_id, event.post_id)

    async def _tells_of_pulling(self, author_id: str, post_id: str) -> bool:
        """Whether the followers hear by this post that the author is pulled from now on.

        All readers read the author's posts when they build their feeds: those to come are spread
        over several partitions.
        """
        if not await self._celebrities.start_pulling(author_id, post_id):
            return False
        await self._photos.flag_hot(author_id, self._clock())
        return True

    async def _decide(self, event: PostPublished) -> Delivery | None:
        """The first decision about the post; it is in its author's own list, if there is one."""
        chosen = await self._deliveries.choose(event.user_id)
        wanted = FanOut(chosen, event.event_id, self._clock())
        stands = await self._photos.decide(event.post_id, wanted)
        if stands is None:
            return await self._broken_off(event.post_id)
        entry = FeedEntry(event.published_at, event.post_id, event.user_id)
        await self._pulls.push(entry, [event.user_id])
        self._metrics.decided(stands.delivery)
        return stands.delivery

    async def _broken_off(self, post_id: str) -> Delivery | None:
        """What was under way with a post that is deleted now, None when nothing need be told.

        It may be the one that tells of pulling, and then no post after it does.
        """
        row = await self._photos.get(post_id)
        pulled = row is not None and row.fan_out and row.fan_out.delivery is Delivery.PULL
        return Delivery.PULL if pulled else None
