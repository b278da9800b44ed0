"""The twins of every port that feeds touch, made to belong together."""

from domain.settings import Feed
from stores.memory.cassandra import MemoryPhotos, MemoryReactions
from stores.memory.graph import MemoryFollows, MemoryOutbox
from stores.memory.postgres import MemoryCelebrities, MemoryUsers
from stores.memory.redis import (
    MemoryFollowCache,
    MemoryPostCache,
    MemoryReactionCache,
    MemoryShelf,
    MemoryTimelines,
)


class FeedTwins:
    """Nobody has an account yet, and every cache is cold."""

    def __init__(self, feed: Feed) -> None:
        self.users = MemoryUsers()
        self.outbox = MemoryOutbox()
        self.follows = MemoryFollows(self.users, self.outbox)
        self.photos = MemoryPhotos()
        self.reactions = MemoryReactions()
        self.celebrities = MemoryCelebrities()
        self.timelines = MemoryTimelines(feed)
        self.pulls = MemoryTimelines(feed)
        self.follow_cache = MemoryFollowCache()
        self.post_cache = MemoryPostCache()
        self.reaction_cache = MemoryReactionCache()
        self.shelf = MemoryShelf(self.post_cache, self.reaction_cache, self.follow_cache)
