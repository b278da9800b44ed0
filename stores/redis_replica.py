"""Feeds read from a replica of Redis while the primary is away: what reading writes is left out.

The replica may lack the primary's last moments. What is cold on it is read from the durable
stores and isn't kept.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from domain.entities import Counts
from domain.errors import Transient
from domain.settings import Feed
from stores.redis_follow_cache import RedisFollowCache
from stores.redis_post_cache import RedisPostCache
from stores.redis_reaction_cache import RedisReactionCache
from stores.redis_server import RedisServer
from stores.redis_shelf import RedisShelf
from stores.redis_timelines import RedisTimelines

if TYPE_CHECKING:
    from stores.connect import Stores


class ReadOnlyFeeds:
    """The ports that feeds are read from: the replica of the caches, and the durable stores."""

    def __init__(self, redis: RedisServer, feed: Feed, stores: "Stores") -> None:
        self.timelines = _Timelines(redis, feed)
        self.pulls = _Timelines(redis, feed, "pulls")
        self.shelf = RedisShelf(redis, feed)
        self.follow_cache = _FollowCache(redis, feed)
        self.post_cache = _PostCache(redis, feed)
        self.reaction_cache = _ReactionCache(redis, feed)
        self.photos = stores.photos
        self.users = stores.users
        self.reactions = stores.reactions
        self.follows = stores.follows
        self.celebrities = stores.celebrities


class _Timelines(RedisTimelines):
    async def begin_build(self, user_id: str) -> str:
        """Raises Transient: what is cold here stays cold."""
        raise Transient(f"redis: a replica can't build {user_id}'s set")


class _FollowCache(RedisFollowCache):
    async def following_token(self, user_id: str) -> str:  # noqa: ARG002 - the port's
        """A token that nothing is kept under."""
        return ""

    async def put_following(self, user_id: str, followees: Sequence[str], token: str) -> None:
        """Nothing is kept."""


class _PostCache(RedisPostCache):
    async def put(self, items: Mapping[str, bytes]) -> None:
        """Nothing is kept."""


class _ReactionCache(RedisReactionCache):
    async def warm(self, found: Mapping[str, tuple[Counts, Sequence[str]]]) -> None:
        """Nothing is kept."""
