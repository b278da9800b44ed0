"""Twins of the Redis caches. Nothing expires here; `drop` and `forget` stand for that.

Every method is one atomic step, as the scripts of the real ones are.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from domain.entities import Counts, Cursor, FeedEntry
from domain.feed import older, place, truncation
from domain.ports.feeds import FeedPage, Shown, ShownPost
from domain.settings import Feed


@dataclass(slots=True)
class _FeedSet:
    entries: set[FeedEntry] = field(default_factory=set)
    builders: set[str] = field(default_factory=set)
    celebrities: set[str] = field(default_factory=set)
    built_at: int | None = None
    floor: Cursor | None = None

    def raise_floor(self, floor: Cursor | None) -> None:
        if floor is not None and (self.floor is None or floor > self.floor):
            self.floor = floor

    def trim(self, feed: Feed) -> None:
        if len(self.entries) > feed.cap + feed.trim_slack:
            extra = sorted(self.entries)[: -feed.cap]
            self.raise_floor(place(extra[-1]))
            self.entries.difference_update(extra)

    def clear_below(self) -> None:
        """Take out what is in older milliseconds than the floor's."""
        if self.floor is not None:
            at = self.floor.published_at
            self.entries = {entry for entry in self.entries if entry.published_at >= at}


@dataclass(frozen=True, slots=True)
class MemoryFeedPage:
    """A page of a built feed."""

    entries: list[FeedEntry]
    floor: Cursor | None
    celebrities: list[str]
    built_at: int


class MemoryTimelines:
    """Twin of RedisTimelines."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._sets: dict[str, _FeedSet] = {}
        self._tokens = count()

    async def push(self, entry: FeedEntry, user_ids: Sequence[str]) -> int:
        """Add to each feed that exists; twice is once; how many exist."""
        present = [self._sets[user_id] for user_id in user_ids if user_id in self._sets]
        for feed in present:
            feed.entries.add(entry)
            feed.trim(self._feed)
        return len(present)

    async def mark_celebrity(self, author_id: str, user_ids: Sequence[str]) -> None:
        """Pull this author into each feed that exists; twice is once."""
        for user_id in user_ids:
            if feed := self._sets.get(user_id):
                feed.celebrities.add(author_id)

    async def exists(self, user_id: str) -> bool:
        """Whether there is a feed, built or building."""
        return user_id in self._sets

    async def page(self, user_id: str, before: Cursor | None, limit: int) -> MemoryFeedPage | None:
        """Entries above the floor, newest first, strictly before the cursor; None when cold."""
        feed = self._sets.get(user_id)
        if feed is None or feed.built_at is None:
            return None
        entries = older(sorted(feed.entries, reverse=True), before)
        above = [entry for entry in entries if feed.floor is None or place(entry) > feed.floor]
        return MemoryFeedPage(above[:limit], feed.floor, sorted(feed.celebrities), feed.built_at)

    async def pages(
        self, user_ids: Sequence[str], before: Cursor | None, limit: int
    ) -> list[FeedPage | None]:
        """`page` of several."""
        return [await self.page(user_id, before, limit) for user_id in user_ids]

    async def begin_build(self, user_id: str) -> str:
        """Mark as building; a token that `finish_build` must show."""
        token = str(next(self._tokens))
        self._sets.setdefault(user_id, _FeedSet()).builders.add(token)
        return token

    async def finish_build(
        self,
        user_id: str,
        token: str,
        entries: Sequence[FeedEntry],
        celebrities: Sequence[str] = (),
    ) -> bool:
        """Merge and mark built; False when the build was voided."""
        feed = self._sets.get(user_id)
        if feed is None or token not in feed.builders:
            return False
        feed.builders.clear()
        feed.built_at = time.time_ns() // 1_000_000
        feed.celebrities.update(celebrities)
        self._merge(feed, entries)
        return True

    async def add_entries(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Backfill a feed that exists, above its floor."""
        if user_id in self._sets:
            self._merge(self._sets[user_id], entries)

    def _merge(self, feed: _FeedSet, entries: Sequence[FeedEntry]) -> None:
        feed.entries.update(entries)
        feed.raise_floor(truncation(entries, self._feed.cap))
        feed.trim(self._feed)
        feed.clear_below()

    async def remove(self, user_id: str, entries: Sequence[FeedEntry]) -> None:
        """Take these entries out of a feed."""
        if feed := self._sets.get(user_id):
            feed.entries.difference_update(entries)

    async def remove_author(self, user_id: str, author_id: str) -> None:
        """Take one author's entries out of a feed, and stop pulling them."""
        if feed := self._sets.get(user_id):
            feed.celebrities.discard(author_id)
            feed.entries = {entry for entry in feed.entries if entry.author_id != author_id}

    async def drop(self, user_id: str) -> None:
        """Make it cold."""
        self._sets.pop(user_id, None)


class MemoryFollowCache:
    """Twin of RedisFollowCache."""

    def __init__(self) -> None:
        self._following: dict[str, frozenset[str]] = {}
        self._readers: dict[str, set[str]] = {}
        self._followers: dict[str, int] = {}
        self._celebrities: dict[str, bool] = {}
        self._tokens = count()

    async def following(self, user_id: str) -> frozenset[str] | None:
        """The cached follow set; None when it must be read from the graph."""
        return self._following.get(user_id)

    async def put_following(self, user_id: str, followees: Sequence[str], token: str) -> None:
        """Cache the follow set, unless `forget_following` came since the token."""
        readers = self._readers.get(user_id, set())
        if token in readers:
            readers.remove(token)
            known = self._following.get(user_id, frozenset())
            self._following[user_id] = known | frozenset(followees)

    async def following_token(self, user_id: str) -> str:
        """Taken before reading the graph."""
        token = str(next(self._tokens))
        self._readers.setdefault(user_id, set()).add(token)
        return token

    async def forget_following(self, user_id: str) -> None:
        """Invalidate after a change of the graph."""
        self._following.pop(user_id, None)
        self._readers.pop(user_id, None)

    async def put_follower_count(self, user_id: str, followers: int) -> None:
        """Keep the absolute follower count."""
        self._followers[user_id] = followers

    async def follower_count(self, user_id: str) -> int | None:
        """The count, None when unknown here."""
        return self._followers.get(user_id)

    async def put_celebrity(self, user_id: str, *, flagged: bool) -> None:
        """Mirror the sticky flag."""
        self._celebrities[user_id] = flagged

    async def is_celebrity(self, user_id: str) -> bool | None:
        """The mirrored flag, None when unknown here."""
        return self._celebrities.get(user_id)


class MemoryPostCache:
    """Twin of RedisPostCache."""

    def __init__(self) -> None:
        self._bytes: dict[str, bytes] = {}

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The ready bytes, None where absent."""
        return [self._bytes.get(key) for key in keys]

    async def put(self, items: Mapping[str, bytes]) -> None:
        """Fill what is absent."""
        self._bytes = {**items, **self._bytes}

    async def replace(self, items: Mapping[str, bytes]) -> None:
        """Keep these whatever is there."""
        self._bytes.update(items)

    async def forget(self, keys: Sequence[str]) -> None:
        """Drop them."""
        for key in keys:
            self._bytes.pop(key, None)


class MemoryReactionCache:
    """Twin of RedisReactionCache."""

    def __init__(self) -> None:
        self._likers: dict[str, set[str]] = {}
        self._counts: dict[str, Counts] = {}
        self._clicks: dict[tuple[str, str], tuple[str, bool]] = {}

    async def note_click(self, post_id: str, user_id: str, event_id: str, *, liked: bool) -> None:
        """Keep what a viewer clicked; the newest event wins."""
        known = self._clicks.get((post_id, user_id), ("", False))
        self._clicks[post_id, user_id] = max(known, (event_id, liked))

    async def put_like(self, post_id: str, user_id: str, *, liked: bool) -> int | None:
        """Apply to a warm set and give its size; None when the set is cold."""
        likers = self._likers.get(post_id)
        if likers is None:
            return None
        (likers.add if liked else likers.discard)(user_id)
        return len(likers)

    async def put_likers(self, post_id: str, likers: Sequence[str]) -> int:
        """Warm the set from the durable likes; its size."""
        self._likers[post_id] = set(likers)
        return len(self._likers[post_id])

    async def put_counts(self, post_id: str, counts: Counts) -> None:
        """Keep the absolute counts."""
        self._counts[post_id] = counts

    async def warm(self, found: Mapping[str, tuple[Counts, Sequence[str]]]) -> None:
        """Fill what is cold."""
        for post_id, (counts, likers) in found.items():
            self._likers.setdefault(post_id, set(likers))
            self._counts.setdefault(post_id, counts)

    async def get(
        self, post_ids: Sequence[str], viewer_id: str
    ) -> list[tuple[Counts | None, bool]]:
        """(counts or None when cold, whether the viewer is counted) of each post."""
        return [
            (
                self._counts.get(post_id) if post_id in self._likers else None,
                viewer_id in self._likers.get(post_id, ()),
            )
            for post_id in post_ids
        ]

    def clicks(self, user_id: str) -> dict[str, bool]:
        """What a user clicked, by post, for the shelf's twin."""
        return {post: liked for (post, who), (_, liked) in self._clicks.items() if who == user_id}


class MemoryShelf:
    """Twin of RedisShelf, over the other twins."""

    def __init__(
        self, posts: MemoryPostCache, reactions: MemoryReactionCache, follows: MemoryFollowCache
    ) -> None:
        self._posts = posts
        self._reactions = reactions
        self._follows = follows

    def known(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown | None:  # noqa: ARG002 - the port's
        """Nothing: a look costs no trip here."""
        return None

    async def read(self, entries: Sequence[FeedEntry], viewer_id: str) -> Shown:
        """Look all of it up."""
        ids = [entry.post_id for entry in entries]
        authors = [entry.author_id for entry in entries]
        reactions = await self._reactions.get(ids, viewer_id)
        following = await self._follows.following(viewer_id)
        columns = (await self._posts.get(ids), await self._posts.get(authors), reactions)
        return Shown(
            posts=[
                ShownPost(post, person, counts, counts is not None and liked)
                for post, person, (counts, liked) in zip(*columns, strict=True)
            ],
            clicks=self._reactions.clicks(viewer_id),
            follows=None if following is None else following.intersection(authors),
        )
