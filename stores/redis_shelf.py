"""All that a page of posts shows, in one round trip (seed sections 7 and 8)."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import compress

from domain.entities import FeedEntry
from domain.ports.feeds import Shown
from domain.settings import Feed
from stores import redis_follow_cache as graph
from stores import redis_post_cache as cache
from stores import redis_reaction_cache as reactions
from stores.redis_client import renews
from stores.redis_commands import KEY, Ask, Template, ask, ask_each, ask_values
from stores.redis_server import RedisServer


class RedisShelf:
    """`domain.ports.feeds.Shelf` over Redis. Raises StoreAway or Transient."""

    def __init__(self, redis: RedisServer, feed: Feed) -> None:
        self._redis = redis
        self._renewal = Template(("EXPIRE", KEY, feed.post_ttl_s))

    async def read(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown:
        """Look all of it up; some of the reads also renew the lives of what is there."""
        ids = [entry.post_id for entry in entries]
        authors = list({entry.author_id: None for entry in entries})
        values = [f"{cache.POSTS}{post_id}" for post_id in ids]
        values += [f"{reactions.COUNTS}{post_id}" for post_id in ids]
        values += [f"{cache.PEOPLE}{author_id}" for author_id in authors]
        likes = [f"{reactions.LIKES}{post_id}" for post_id in ids]
        found, marks, (clicked,), (followed,), _ = await self._redis.ask(
            ask_values(values),
            ask(_liking(viewer_id), likes),
            ask(reactions.CLICKS, [reactions.clicked_key(viewer_id)]),
            _followed(viewer_id, authors),
            ask(self._renewal, values + likes if renews() else (), optional=True),
        )
        size = len(ids)
        whole_follows, *follows = followed
        people = dict(zip(authors, found[2 * size :], strict=True))
        counts = [
            reactions.read_counts(value) if value and whole else None
            for value, (_, whole) in zip(found[size : 2 * size], marks, strict=True)
        ]
        return Shown(
            posts=found[:size],
            people=[people[entry.author_id] for entry in entries],
            counts=counts,
            liked=[
                bool(liked) and count is not None
                for (liked, _), count in zip(marks, counts, strict=True)
            ],
            clicks=reactions.read_clicks(clicked),
            follows=frozenset(compress(authors, follows)) if whole_follows else None,
        )


def _followed(viewer_id: str, authors: Sequence[str]) -> Ask:
    key = graph.following_key(viewer_id)
    return ask_each({key: ("SMISMEMBER", key, graph.WHOLE, *authors)})


@lru_cache(1024)
def _liking(viewer_id: str) -> Template:
    """Whether a set of likers has the viewer, and is whole."""
    return Template(("SMISMEMBER", KEY, viewer_id, reactions.WHOLE))
