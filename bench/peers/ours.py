"""Ours and the floor, over the same keys."""

from collections.abc import Sequence
from functools import partial

from bench.peers.feeds import Feeds, Post, Work, entry, feed_key, members
from domain.feed import member
from domain.settings import Feed
from schemas.events import FanoutChunk
from stores.connect import Stores
from streams.topology import BY_NAME
from topics.catalog import FANOUT_CHUNK

FEED = Feed()


class Ours:
    """The handler of fanout.chunk, as the topology makes it, over the real adapter."""

    name = "photofeed"

    def __init__(self, stores: Stores, feeds: Feeds) -> None:
        self.repeats = 4
        self._feeds = feeds
        self._handle = BY_NAME["write_feeds"].make(stores, {})

    def reachable(self, author: str) -> Sequence[str]:
        """Followers who have a feed."""
        return self._feeds.warm(author)

    def prepared(self, posts: Sequence[Post]) -> Work:
        """Every chunk as the bytes that Kafka would bring."""
        size = FEED.chunk_followers
        records = [
            FANOUT_CHUNK.codec.encode(_chunk(post, number, bounds))
            for post in posts
            for number, bounds in enumerate(self._feeds.graph.chunks(post[0], size))
        ]
        return partial(self._deliver, records)

    async def _deliver(self, records: Sequence[bytes]) -> None:
        decode = FANOUT_CHUNK.codec.decode
        for record in records:
            await self._handle(decode(record))

    def wrong(self, posts: Sequence[Post]) -> tuple[int, int, int]:
        """Read every feed back."""
        return self._feeds.wrong(members(posts))

    def tidy(self, posts: Sequence[Post]) -> None:
        """Nothing: the feeds trim themselves."""


def _chunk(post: Post, number: int, bounds: tuple[str, str]) -> FanoutChunk:
    author, post_id, published_at = post
    return FanoutChunk(
        event_id=f"{post_id}:{number}",
        occurred_at=published_at,
        version=1,
        post_id=post_id,
        user_id=author,
        published_at=published_at,
        chunk_no=number,
        after_id=bounds[0],
        upto_id=bounds[1],
    )


class Raw:
    """The floor: hand-packed ZADDs, a chunk's worth at a time; replies are counted, not read."""

    name = "raw ZADD"

    def __init__(self, feeds: Feeds) -> None:
        self.repeats = 4
        self._feeds = feeds

    def reachable(self, author: str) -> Sequence[str]:
        """Followers who have a feed: it checks nothing, so it is told."""
        return self._feeds.warm(author)

    def prepared(self, posts: Sequence[Post]) -> Work:
        """Batches of followers."""
        size = FEED.chunk_followers
        batches = []
        for post in posts:
            warm = self._feeds.warm(post[0])
            batches += [(post, warm[n : n + size]) for n in range(0, len(warm), size)]
        return partial(self._deliver, batches)

    async def _deliver(self, batches: Sequence[tuple[Post, Sequence[str]]]) -> None:
        for post, followers in batches:
            score, name = str(post[2]), member(entry(post)).decode()
            head = "*4\r\n$4\r\nZADD\r\n$18\r\nfeed:"
            tail = f"\r\n${len(score)}\r\n{score}\r\n${len(name)}\r\n{name}\r\n"
            data = (head + (tail + head).join(followers) + tail).encode()
            self._feeds.wire.send_counted(data, len(followers))

    def wrong(self, posts: Sequence[Post]) -> tuple[int, int, int]:
        """Read every feed back."""
        return self._feeds.wrong(members(posts))

    def tidy(self, posts: Sequence[Post]) -> None:
        """Take the posts out again: the keys are ours, and the floor doesn't trim."""
        names = [name for _, name in members(posts)]
        people = [person for person in self._feeds.graph.people if person not in self._feeds.cold]
        self._feeds.wire.pipeline([("ZREM", feed_key(person), *names) for person in people])
