"""Entries into posts: ready bytes from Redis in one round trip, misses from the durable stores.

What was missed is read once, however many readers miss it, and written back, so that the next
reader finds it (seed section 8).
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Protocol

from api.metrics import feed_step
from api.resilience.best_effort import BestEffort
from api.resilience.breakers import Breakers
from api.resilience.shared_reads import SharedReads
from domain.clicks import with_click
from domain.entities import Counts, FeedEntry, Photo, PhotoStatus, User
from domain.ports.accounts import Users
from domain.ports.feeds import PostCache, Shelf, Shown, ShownPost
from domain.ports.photos import Photos
from domain.ports.reactions import ReactionCache, Reactions
from domain.post_json import join_post, person_bytes, post_bytes
from domain.settings import Degradation

Reacted = tuple[Counts, Sequence[str] | None]
"""Counts and who likes it; None: too many to list."""

_WARM_MOST = 5000  # likers of a post that a reader fetches to warm its set; beyond, the stage does


class HydrationStores(Protocol):
    """The ports that posts come from."""

    @property
    def shelf(self) -> Shelf:
        """All that a page shows, in one trip."""

    @property
    def post_cache(self) -> PostCache:
        """Where ready bytes are written back."""

    @property
    def reaction_cache(self) -> ReactionCache:
        """Where reactions are written back."""

    @property
    def photos(self) -> Photos:
        """Posts, durably."""

    @property
    def users(self) -> Users:
        """People."""

    @property
    def reactions(self) -> Reactions:
        """Reactions, durably."""


class Hydrator:
    """Makes the posts of a page."""

    def __init__(
        self, stores: HydrationStores, edge_base: str, breakers: Breakers | None = None
    ) -> None:
        self._stores = stores
        self._edge = edge_base
        effort = partial(BestEffort, breakers or Breakers(Degradation()))
        self._posts = SharedReads(self._make_posts, effort)
        self._people = SharedReads(self._make_people, effort)
        self._reacted = SharedReads(self._read_reactions, effort)

    async def look(self, entries: Sequence[FeedEntry], viewer_id: str, effort: BestEffort) -> Shown:
        """What the caches hold of a page, in one trip at most; nothing while they are away."""
        shelf = self._stores.shelf
        if known := shelf.known(entries, viewer_id):
            return known
        shown = await effort.ask("redis", None, shelf.read)(entries, viewer_id)
        return shown or _nothing(len(entries))

    async def posts(
        self,
        entries: Sequence[FeedEntry],
        viewer_id: str,
        effort: BestEffort,
        shown: Shown | None = None,
    ) -> list[tuple[FeedEntry, bytes]]:
        """Each entry whose post is live, with its JSON; order kept. `shown` is of the same entries.

        What can't be read now is left out, or has no counts, and `effort` knows.
        """
        if shown is None:
            shown = await self.look(entries, viewer_id, effort)
        live, whole = _joined(entries, shown)
        if not whole:
            with feed_step("misses"):
                filled = await self._filled(entries, shown, viewer_id, effort)
            live, _ = _joined(entries, filled)
        return live

    async def _filled(
        self, entries: Sequence[FeedEntry], shown: Shown, viewer_id: str, effort: BestEffort
    ) -> Shown:
        """With what the caches lacked. Posts and people that are absent then are gone."""
        rows = list(zip(entries, shown.posts, strict=True))
        posts, people, reacted = await asyncio.gather(
            self._posts.get(_once(e.post_id for e, row in rows if row.post is None), effort),
            self._people.get(_once(e.author_id for e, row in rows if row.person is None), effort),
            self._reactions(
                [e.post_id for e, row in rows if row.counts is None and row.post != b""],
                viewer_id,
                effort,
            ),
        )
        filled = [
            ShownPost(
                posts.get(entry.post_id) if row.post is None else row.post,
                people.get(entry.author_id) if row.person is None else row.person,
                *reacted.get(entry.post_id, (row.counts, row.liked)),
            )
            for entry, row in rows
        ]
        return replace(shown, posts=filled)

    async def _make_posts(self, post_ids: list[str], effort: BestEffort) -> dict[str, bytes]:
        photos = await self._live(post_ids, effort)
        made = {post_id: post_bytes(photo, self._edge) for post_id, photo in photos.items()}
        return await self._kept(made, effort)

    async def _make_people(self, user_ids: list[str], effort: BestEffort) -> dict[str, bytes]:
        nobody: dict[str, User] = {}
        users = await effort.ask("postgres", nobody, self._stores.users.get_many)(user_ids)
        avatars = await self._live(
            [user.avatar_photo_id for user in users.values() if user.avatar_photo_id], effort
        )
        made = {
            user_id: person_bytes(user, avatars.get(user.avatar_photo_id or ""), self._edge)
            for user_id, user in users.items()
        }
        return await self._kept(made, effort) if effort.whole else made

    async def _kept(self, made: dict[str, bytes], effort: BestEffort) -> dict[str, bytes]:
        if made:
            await effort.ask("redis", None, self._stores.post_cache.put)(made)
        return made

    async def _live(self, photo_ids: Sequence[str], effort: BestEffort) -> dict[str, Photo]:
        if not photo_ids:
            return {}
        nothing: dict[str, Photo] = {}
        photos = await effort.ask("cassandra", nothing, self._stores.photos.get_many)(photo_ids)
        return {
            photo_id: photo
            for photo_id, photo in photos.items()
            if photo.status is PhotoStatus.PUBLISHED
        }

    async def _reactions(
        self, post_ids: Sequence[str], viewer_id: str, effort: BestEffort
    ) -> dict[str, tuple[Counts, bool]]:
        """The durable counts and whether the viewer is among the likers."""
        reacted = await self._reacted.get(post_ids, effort)
        many = [post_id for post_id, (_, likers) in reacted.items() if likers is None]
        liked: set[str] = set()
        if many:
            has_liked = self._stores.reactions.has_liked
            liked = await effort.ask("cassandra", liked, has_liked)(many, viewer_id)
        return {
            post_id: (counts, post_id in liked if likers is None else viewer_id in likers)
            for post_id, (counts, likers) in reacted.items()
        }

    async def _read_reactions(self, post_ids: list[str], effort: BestEffort) -> dict[str, Reacted]:
        """The durable reactions; what is small enough is kept warm."""
        unknown: dict[str, Counts] = {}
        get_counts = effort.ask("cassandra", unknown, self._stores.reactions.get_counts)
        known = await get_counts(post_ids)
        counts = {post_id: known.get(post_id, Counts()) for post_id in post_ids}
        few = [post_id for post_id in post_ids if counts[post_id].likes <= _WARM_MOST]
        likers = await asyncio.gather(*(self._likers(each, counts[each], effort) for each in few))
        found = dict(zip(few, likers, strict=True))
        if "cassandra" not in effort.away:
            warm = {post_id: (counts[post_id], found[post_id]) for post_id in few}
            await effort.ask("redis", None, self._stores.reaction_cache.warm)(warm)
        return {post_id: (counts[post_id], found.get(post_id)) for post_id in post_ids}

    async def _likers(self, post_id: str, counts: Counts, effort: BestEffort) -> Sequence[str]:
        """Who likes a post; nobody, by its counts: then a first like is still to be applied."""
        if not counts.likes:
            return ()
        nobody: list[str] = []
        return await effort.ask("cassandra", nobody, self._stores.reactions.likers)(post_id)


def _joined(
    entries: Sequence[FeedEntry], shown: Shown
) -> tuple[list[tuple[FeedEntry, bytes]], bool]:
    """Those that are there, as JSON; and whether the others are known to be gone."""
    live: list[tuple[FeedEntry, bytes]] = []
    whole = True
    clicks = shown.clicks
    for entry, row in zip(entries, shown.posts, strict=True):
        post, person, counts, _ = row
        if post and person and counts is not None:
            live.append((entry, _as_json(row, clicks.get(entry.post_id) if clicks else None)))
        elif post != b"" and person != b"":
            whole = False
    return live, whole


@lru_cache(16_384)
def _as_json(row: ShownPost, click: bool | None) -> bytes:
    """A post as one viewer sees it. Most viewers see the same, and see it again."""
    counts, liked = with_click(row.counts or Counts(), click, liked=row.liked)
    return join_post(row.post or b"", row.person or b"", counts, liked=liked)


def _nothing(entries: int) -> Shown:
    """What a shelf shows that can't be read."""
    return Shown([ShownPost()] * entries, {}, None)


def _once(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))
