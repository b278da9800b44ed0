"""fanout.chunk → Redis `feed:{user_id}`.

Delivers one post, or the mark that its author's posts are pulled, to one range of the author's
followers (seed sections 5 and 7).
"""

from collections.abc import Sequence

from domain.entities import FeedEntry
from domain.ports.feeds import Timelines
from domain.ports.graph import Follows
from schemas.events import FanoutChunk
from streams.runtime.stage import Emit
from streams.steering import Meter, Steering


class WriteFeeds:
    """The handler of fanout.chunk.

    The followers are read now, not when the chunk was planned: whoever unfollowed meanwhile gets
    nothing. Feeds that nobody has built are left alone; their build reads the post's row.
    """

    def __init__(
        self, follows: Follows, timelines: Timelines, steering: Steering | None = None
    ) -> None:
        self._follows = follows
        self._timelines = timelines
        self._steering = steering
        self._meter = steering.meter if steering else Meter()

    async def prepare(self) -> None:
        """Begin to report what is measured, where the threshold is to follow from it."""
        if self._steering is not None:
            self._steering.start()

    async def __call__(self, event: FanoutChunk) -> Sequence[Emit]:
        """Write to the range's followers; twice is once. Raises StoreAway, Transient."""
        followers = await self._follows.followers_between(
            event.user_id, event.after_id, event.upto_id
        )
        async with self._meter.writing(event, len(followers)):
            if event.mark:
                await self._timelines.mark_celebrity(event.user_id, followers)
            else:
                entry = FeedEntry(event.published_at, event.post_id, event.user_id)
                await self._timelines.push(entry, followers)
        return ()
