"""The seed's worker and other programs, as contenders."""

import json
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.peers.feed_stores import FeedStore
from bench.peers.feeds import Feeds, Post, Work
from bench.peers.ours import FEED
from bench.peers.seed_feeds import SeedFeeds

_T0 = 1_800_000_000_000


class Seed:
    """The seed's pseudocode."""

    def __init__(self, name: str, feeds: Feeds, writer: SeedFeeds) -> None:
        self.name, self.repeats = name, 2
        self._feeds = feeds
        self._writer = writer

    def reachable(self, author: str) -> Sequence[str]:
        """All followers: it makes no difference between feeds."""
        return self._feeds.graph.followers[author]

    def prepared(self, posts: Sequence[Post]) -> Work:
        """Pages of followers."""
        return partial(self._deliver, posts)

    async def _deliver(self, posts: Sequence[Post]) -> None:
        size = FEED.chunk_followers
        for author, post_id, published_at in posts:
            followers = self._feeds.graph.followers[author]
            for start in range(0, len(followers), size):
                self._writer.deliver(post_id, published_at, followers[start : start + size])

    def wrong(self, posts: Sequence[Post]) -> tuple[int, int, int]:
        """Read every feed back."""
        return self._feeds.wrong([(author, post_id) for author, post_id, _ in posts])

    def tidy(self, posts: Sequence[Post]) -> None:
        """Nothing: every push trims."""


class Peer:
    """Another program's commands; people and posts are numbers there."""

    def __init__(self, name: str, feeds: Feeds, store: FeedStore, repeats: int) -> None:
        self.name, self.repeats = name, repeats
        self._feeds, self._store = feeds, store
        self._number = {person: n for n, person in enumerate(feeds.graph.people, 1)}

    def reachable(self, author: str) -> Sequence[str]:
        """All followers."""
        return self._feeds.graph.followers[author]

    def prepared(self, posts: Sequence[Post]) -> Work:
        """Numbers of posts and followers."""
        followers = self._feeds.graph.followers
        work = [(at, [self._number[name] for name in followers[a]]) for a, _, at in posts]
        return partial(self._deliver, work)

    async def _deliver(self, work: Sequence[tuple[int, Sequence[int]]]) -> None:
        for post, followers in work:
            self._store.deliver(post, followers)

    def wrong(self, posts: Sequence[Post]) -> tuple[int, int, int]:
        """Read every feed back."""
        return self._feeds.wrong([(author, str(at)) for author, _, at in posts])

    def tidy(self, posts: Sequence[Post]) -> None:
        """Nothing: they trim themselves."""


class StreamFramework:
    """The library in its own process."""

    name = "stream-framework"

    def __init__(self, feeds: Feeds, python: Path, port: int, database: int) -> None:
        self.repeats = 1
        self._feeds = feeds
        self._number = {person: n for n, person in enumerate(feeds.graph.people, 1)}
        self._members: dict[int, str] = {}
        script = str(Path(__file__).with_name("stream_framework_peer.py"))
        command = [str(python), script, str(port), str(database)]
        self._process = subprocess.Popen(  # noqa: S603 - our own script
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, request: dict[str, object]) -> dict[str, float | str]:
        """One request, one answer. Raises ValueError when the process has ended."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("no pipes")
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, float | str] = json.loads(self._process.stdout.readline())
        return answer

    def reachable(self, author: str) -> Sequence[str]:
        """All followers."""
        return self._feeds.graph.followers[author]

    def prepared(self, posts: Sequence[Post]) -> Work:
        """Numbers of posts and followers."""
        followers = self._feeds.graph.followers
        work = [(at, [self._number[name] for name in followers[a]]) for a, _, at in posts]
        return partial(self._deliver, work)

    async def _deliver(self, work: Sequence[tuple[int, Sequence[int]]]) -> float:
        spent = 0.0
        for at, users in work:
            answer = self.ask({"post": at - _T0, "users": users})
            spent += float(answer["cpu_s"])
            self._members[at] = str(answer["member"])
        return spent

    def wrong(self, posts: Sequence[Post]) -> tuple[int, int, int]:
        """Read every feed back."""
        return self._feeds.wrong([(author, self._members[at]) for author, _, at in posts])

    def tidy(self, posts: Sequence[Post]) -> None:
        """Nothing: it trims one time in a hundred."""

    def close(self) -> None:
        """End its process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(10)
