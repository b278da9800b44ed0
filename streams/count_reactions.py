"""like.created, like.deleted, comment.created, comment.deleted → Cassandra, then Redis.

The durable rows decide by version; counts are read back from them or from the set of likers and
written as absolute values, so nothing is ever added twice (I6; seed section 7).
"""

from collections.abc import Sequence

from domain.entities import Comment, Counts
from domain.ports.reactions import ReactionCache, Reactions
from schemas.events import CommentCreated, CommentDeleted, LikeCreated, LikeDeleted
from streams.runtime.stage import Emit

Like = LikeCreated | LikeDeleted
Remark = CommentCreated | CommentDeleted


def as_comment(event: Remark) -> Comment:
    """The comment an event tells of; a deleted one keeps no text."""
    return Comment(
        comment_id=event.comment_id,
        post_id=event.post_id,
        user_id=event.user_id,
        text=event.text if isinstance(event, CommentCreated) else "",
        created_at=event.occurred_at,
        deleted=isinstance(event, CommentDeleted),
    )


class CountReactions:
    """The handler of all four. Events of one post come one after another, so counts never race."""

    def __init__(self, reactions: Reactions, cache: ReactionCache) -> None:
        self._reactions = reactions
        self._cache = cache

    async def __call__(self, event: Like | Remark) -> Sequence[Emit]:
        """Apply it and put the counts; twice is once. Raises StoreAway, Transient."""
        post_id = event.post_id
        known = (await self._reactions.get_counts([post_id])).get(post_id, Counts())
        if isinstance(event, LikeCreated | LikeDeleted):
            counts = known._replace(likes=await self._like(event))
        else:
            await self._reactions.set_comment(as_comment(event), event.version)
            counts = known._replace(comments=await self._reactions.count_comments(post_id))
        await self._reactions.put_counts(post_id, counts)
        await self._cache.put_counts(post_id, counts)
        return ()

    async def _like(self, event: Like) -> int:
        """Likes of the post afterwards."""
        post_id, user_id = event.post_id, event.user_id
        liked = await self._reactions.set_like(
            post_id, user_id, event.version, liked=isinstance(event, LikeCreated)
        )
        count = await self._cache.put_like(post_id, user_id, liked=liked)
        if count is None:
            likers = await self._reactions.likers(post_id)
            count = await self._cache.put_likers(post_id, likers)
        return count
