"""All that a page of posts shows, in one round trip (seed sections 7 and 8)."""

from collections.abc import Sequence

from redis.asyncio import Redis

from domain.entities import FeedEntry
from domain.ports.feeds import Shown
from domain.settings import Feed
from stores.redis_follow_cache import RedisFollowCache
from stores.redis_post_cache import RedisPostCache
from stores.redis_reaction_cache import RedisReactionCache


class RedisShelf:
    """`domain.ports.feeds.Shelf` over one Redis. Raises StoreAway or Transient."""

    def __init__(self, client: Redis, feed: Feed) -> None:
        self._posts = RedisPostCache(client, feed)
        self._reactions = RedisReactionCache(client, feed)
        self._follows = RedisFollowCache(client, feed)

    async def read(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown:
        """Look all of it up; some of the reads also renew the lives of what is there."""
        ids = [entry.post_id for entry in entries]
        authors = [entry.author_id for entry in entries]
        reactions = await self._reactions.get(ids, viewer_id)
        following = await self._follows.following(viewer_id)
        return Shown(
            posts=await self._posts.get(ids),
            people=await self._posts.get(authors),
            counts=[counts for counts, _, _ in reactions],
            liked=[counts is not None and liked for counts, liked, _ in reactions],
            clicks=[click for _, _, click in reactions],
            follows=None if following is None else [author in following for author in authors],
        )
