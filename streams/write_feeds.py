"""fanout.chunk → Redis `feed:{user_id}`.

Delivers one post, or the mark that its author's posts are pulled, to one range of the author's
followers (seed sections 5 and 7).
"""

from collections.abc import Sequence

from domain.entities import FeedEntry
from domain.errors import StoreAway, Transient
from domain.ports.feeds import Timelines
from domain.ports.graph import Celebrities, Follows
from schemas.events import FanoutChunk
from streams.runtime.stage import Emit
from streams.steering import Meter, Steering


class WriteFeeds:
    """The handler of fanout.chunk.

    The followers are read now, not when the chunk was planned: whoever unfollowed meanwhile gets
    nothing. Feeds that nobody has built are left alone; their build reads the post's row.

    A mark that failed may end in the dead letters: the author's next post tells the followers
    again, or this range would lack all of the author's posts until somebody replays it.
    """

    def __init__(
        self,
        follows: Follows,
        timelines: Timelines,
        celebrities: Celebrities,
        steering: Steering | None = None,
    ) -> None:
        self._follows = follows
        self._timelines = timelines
        self._celebrities = celebrities
        self._steering = steering
        self._meter = steering.meter if steering else Meter()

    async def prepare(self) -> None:
        """Begin to report what is measured, where the threshold is to follow from it."""
        if self._steering is not None:
            self._steering.start()

    async def __call__(self, event: FanoutChunk) -> Sequence[Emit]:
        """Write to the range's followers; twice is once. Raises StoreAway, Transient."""
        try:
            await self._write(event)
        except StoreAway:
            raise  # it is waited for, and the chunk comes again
        except Transient:
            if event.mark:
                await self._celebrities.pulling_untold(event.user_id, event.post_id)
            raise
        return ()

    async def _write(self, event: FanoutChunk) -> None:
        followers = await self._follows.followers_between(
            event.user_id, event.after_id, event.upto_id
        )
        async with self._meter.writing(event, len(followers)):
            if event.mark:
                await self._timelines.mark_celebrity(event.user_id, followers)
            else:
                entry = FeedEntry(event.published_at, event.post_id, event.user_id)
                await self._timelines.push(entry, followers)
