"""What other programs send to Redis for one post and one follower, written out command by command.

Facts read from their sources, at the commits named here; the code is ours. Mastodon and Pixelfed
get the plain connection of the floor, so no language or framework of theirs is counted; Misskey's
one pipeline is sent both ways, by redis-py and plainly. Filters and look-ups in SQL that they do
for every follower are left out, which is in their favour, and so are their shorter feeds.

Mastodon, `app/lib/feed_manager.rb` at 000dabb18b2196c6b503d56878b027b11c5119e2: `push_to_home`
    calls `add_to_feed` (no reblog: ZSCORE in the set of reblogs, then ZADD), `trim`
    (ZREMRANGEBYRANK to MAX_ITEMS = 400, ZREVRANGE at REBLOG_FALLOFF = 40, ZRANGEBYSCORE in the set
    of reblogs) and `push_update_required?` (EXISTS). Each is a round trip: one job a follower.
Pixelfed, `app/Services/HomeTimelineService.php` and `app/Jobs/HomeFeedPipeline/
    FeedInsertPipeline.php` at 8aae92d75b4881e5cd6a4e2c83ca52046e5b3d66: `add` for each follower
    (ZCARD; ZPOPMIN when there are 400 or more; ZADD). Each is a round trip.
Misskey, `packages/backend/src/core/FanoutTimelineService.ts` at
    0b2dd3a5f3dd9f50ff7dffcf3ee725b4c5772baf, called by `pushToTl` of `NoteCreateService.ts`
    beside it: LPUSH, and for one in ten LTRIM, to `homeTimeline` (300 at most), and for a note with
    files once more to `homeTimelineWithFiles` (half as many); one pipeline for all followers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.tools.cache import Wire

MASTODON_MOST, PIXELFED_MOST, MISSKEY_MOST = 400, 400, 300
_FALLOFF, _TRIM_SHARE = 40, 0.1


class Pipe(Protocol):
    """Whatever sends many commands at once."""

    def pipeline(self, commands: Sequence[tuple[str | bytes, ...]]) -> list[object]:
        """All of them sent before the first reply is read."""


class FeedStore(Protocol):
    """A program's feeds, filled and to be filled."""

    def key(self, follower: int) -> str:
        """The feed that is read."""

    def fill(self, follower: int, posts: Sequence[int]) -> list[tuple[str, ...]]:
        """The commands that make a feed of these posts, oldest first."""

    def deliver(self, post: int, followers: Sequence[int]) -> None:
        """Everything that is sent for one post, to the last answer."""


@dataclass(frozen=True, slots=True)
class Mastodon:
    """Six round trips a follower."""

    wire: Wire
    most: int = MASTODON_MOST

    def key(self, follower: int) -> str:
        """`feed:home:{account}`."""
        return f"feed:home:{follower}"

    def fill(self, follower: int, posts: Sequence[int]) -> list[tuple[str, ...]]:
        """The newest of them, scored by their ids."""
        return [_sorted_set(self.key(follower), posts[-self.most :])]

    def deliver(self, post: int, followers: Sequence[int]) -> None:
        """Follower after follower."""
        call, text = self.wire.call, str(post)
        for follower in followers:
            feed, reblogs = self.key(follower), f"feed:home:{follower}:reblogs"
            call("ZSCORE", reblogs, text)
            call("ZADD", feed, text, text)
            call("ZREMRANGEBYRANK", feed, "0", str(-(self.most + 1)))
            place = str(_FALLOFF)
            falloff = call("ZREVRANGE", feed, place, place, "WITHSCORES")
            if isinstance(falloff, list) and falloff:
                call("ZRANGEBYSCORE", reblogs, "0", falloff[1])
            call("EXISTS", f"subscribed:timeline:{follower}")


@dataclass(frozen=True, slots=True)
class Pixelfed:
    """Two or three round trips a follower."""

    wire: Wire
    most: int = PIXELFED_MOST

    def key(self, follower: int) -> str:
        """`pf:services:timeline:home:{profile}`."""
        return f"pf:services:timeline:home:{follower}"

    def fill(self, follower: int, posts: Sequence[int]) -> list[tuple[str, ...]]:
        """The newest of them, scored by their ids."""
        return [_sorted_set(self.key(follower), posts[-self.most :])]

    def deliver(self, post: int, followers: Sequence[int]) -> None:
        """Follower after follower."""
        call, text = self.wire.call, str(post)
        for follower in followers:
            feed = self.key(follower)
            size = call("ZCARD", feed)
            if isinstance(size, int) and size >= self.most:
                call("ZPOPMIN", feed)
            call("ZADD", feed, text, text)


@dataclass(frozen=True, slots=True)
class Misskey:
    """One pipeline of list pushes; a photo's note goes to two lists of each follower."""

    wire: Pipe
    most: int = MISSKEY_MOST
    chance: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a replay

    def key(self, follower: int) -> str:
        """`list:homeTimeline:{user}`."""
        return f"list:homeTimeline:{follower}"

    def fill(self, follower: int, posts: Sequence[int]) -> list[tuple[str, ...]]:
        """The newest of them."""
        newest = [str(post) for post in posts[-self.most :]]
        feeds = self._feeds(follower)
        return [("LPUSH", feed, *newest[-most:]) for feed, most in feeds]

    def deliver(self, post: int, followers: Sequence[int]) -> None:
        """All followers at once."""
        text, commands = str(post), list[tuple[str | bytes, ...]]()
        for follower in followers:
            for feed, most in self._feeds(follower):
                commands.append(("LPUSH", feed, text))
                if self.chance.random() < _TRIM_SHARE:
                    commands.append(("LTRIM", feed, "0", str(most - 1)))
        self.wire.pipeline(commands)

    def _feeds(self, follower: int) -> list[tuple[str, int]]:
        files = f"list:homeTimelineWithFiles:{follower}"
        return [(self.key(follower), self.most), (files, self.most // 2)]


def _sorted_set(key: str, posts: Sequence[int]) -> tuple[str, ...]:
    return ("ZADD", key, *(str(post) for post in posts for _ in range(2)))
