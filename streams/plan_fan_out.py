"""post.published → fanout.chunk*.

Splits a post's delivery into ranges of follower ids, so that the writers share it evenly (seed
section 5). Every post is pushed, a celebrity's too; pulling those at read time is not built yet.
A post without followers has no chunks.
"""

from collections.abc import Sequence

from domain.ids import derived
from domain.ports.graph import Follows
from schemas.events import FanoutChunk, PostPublished
from streams.runtime.stage import Emit
from topics.catalog import FANOUT_CHUNK


def chunk(post: PostPublished, number: int, bounds: tuple[str, str]) -> FanoutChunk:
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
    )


class PlanFanOut:
    """The handler of post.published.

    A follower who comes after the ranges were read may be in none of them: that follow's own
    event brings the post, because the post's row is older (see `refill_feeds`).
    """

    def __init__(self, follows: Follows, chunk_followers: int) -> None:
        self._follows = follows
        self._size = chunk_followers

    async def __call__(self, event: PostPublished) -> Sequence[Emit]:
        """One chunk a range of followers. Raises StoreAway, Transient."""
        bounds = [b async for b in self._follows.chunk_bounds(event.user_id, self._size)]
        return [Emit(FANOUT_CHUNK, chunk(event, n, b)) for n, b in enumerate(bounds)]
