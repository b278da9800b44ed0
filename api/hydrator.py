"""Entries into posts: ready bytes from Redis in one round trip, misses from the durable stores.

What was missed is written back, so that the next reader finds it (seed section 8).
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from api.best_effort import BestEffort
from domain.clicks import with_click
from domain.entities import Counts, FeedEntry, Photo, PhotoStatus, User
from domain.ports.accounts import Users
from domain.ports.feeds import PostCache
from domain.ports.photos import Photos
from domain.ports.reactions import ReactionCache, Reactions
from domain.post_json import join_post, person_bytes, post_bytes

Reaction = tuple[Counts, bool]

_WARM_MOST = 5000  # likers of a post that a reader fetches to warm its set; beyond, the stage does


class HydrationStores(Protocol):
    """The ports that posts come from."""

    @property
    def post_cache(self) -> PostCache:
        """Ready bytes."""

    @property
    def reaction_cache(self) -> ReactionCache:
        """Hot reactions."""

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

    def __init__(self, stores: HydrationStores, edge_base: str) -> None:
        self._stores = stores
        self._edge = edge_base

    async def posts(
        self, entries: Sequence[FeedEntry], viewer_id: str, effort: BestEffort
    ) -> list[tuple[FeedEntry, bytes]]:
        """Each entry whose post is live, with its JSON; order kept.

        What can't be read now is left out, or has no counts, and `effort` knows.
        """
        post_ids = [entry.post_id for entry in entries]
        people = list({entry.author_id: None for entry in entries})
        keys = [*post_ids, *people]
        get_ready = effort.ask("redis", [None] * len(keys), self._stores.post_cache.get)
        get_hot = effort.ask(
            "redis", [(None, False, None)] * len(entries), self._stores.reaction_cache.get
        )
        found, hot = await asyncio.gather(get_ready(keys), get_hot(post_ids, viewer_id))
        ready = {key: value for key, value in zip(keys, found, strict=True) if value is not None}
        known = {
            post_id: (counts, liked)
            for post_id, (counts, liked, _) in zip(post_ids, hot, strict=True)
            if counts is not None
        }
        clicks = {post_id: click for post_id, (*_, click) in zip(post_ids, hot, strict=True)}
        if len(ready) < len(keys) or len(known) < len(post_ids):
            missed = [key for key in keys if key not in ready]
            cold = [post_id for post_id in post_ids if post_id not in known]
            more, read = await asyncio.gather(
                self._bytes(missed, effort), self._reactions(cold, viewer_id, effort)
            )
            ready |= more
            known |= read
        return [
            (entry, self._join(entry, ready, known[entry.post_id], clicks[entry.post_id]))
            for entry in entries
            if ready.get(entry.post_id) and ready.get(entry.author_id)  # no bytes: it is gone
        ]

    @staticmethod
    def _join(
        entry: FeedEntry, ready: dict[str, bytes], counted: Reaction, click: bool | None
    ) -> bytes:
        counts, liked = with_click(counted[0], click, liked=counted[1])
        return join_post(ready[entry.post_id], ready[entry.author_id], counts, liked=liked)

    async def _bytes(self, missed: Sequence[str], effort: BestEffort) -> dict[str, bytes]:
        """Ready bytes of posts and people made from the durable rows, and written back."""
        if not missed:
            return {}
        posts, people = await asyncio.gather(
            self._posts([key for key in missed if key.startswith("ph_")], effort),
            self._people([key for key in missed if key.startswith("u_")], effort),
        )
        made = posts | people
        if made:
            await effort.ask("redis", None, self._stores.post_cache.put)(made)
        return made

    async def _posts(self, post_ids: Sequence[str], effort: BestEffort) -> dict[str, bytes]:
        photos = await self._live(post_ids, effort)
        return {post_id: post_bytes(photo, self._edge) for post_id, photo in photos.items()}

    async def _people(self, user_ids: Sequence[str], effort: BestEffort) -> dict[str, bytes]:
        if not user_ids:
            return {}
        nobody: dict[str, User] = {}
        users = await effort.ask("postgres", nobody, self._stores.users.get_many)(user_ids)
        avatars = await self._live(
            [user.avatar_photo_id for user in users.values() if user.avatar_photo_id], effort
        )
        return {
            user_id: person_bytes(user, avatars.get(user.avatar_photo_id or ""), self._edge)
            for user_id, user in users.items()
        }

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
    ) -> dict[str, Reaction]:
        """The durable counts and the viewer's likes; what is small enough is kept warm."""
        if not post_ids:
            return {}
        unknown: dict[str, Counts] = {}
        get_counts = effort.ask("cassandra", unknown, self._stores.reactions.get_counts)
        known = await get_counts(post_ids)
        counts = {post_id: known.get(post_id, Counts()) for post_id in post_ids}
        few = [post_id for post_id in post_ids if counts[post_id].likes <= _WARM_MOST]
        many = [post_id for post_id in post_ids if counts[post_id].likes > _WARM_MOST]
        nobody: set[str] = set()
        liked, likers = await asyncio.gather(
            effort.ask("cassandra", nobody, self._stores.reactions.has_liked)(many, viewer_id),
            asyncio.gather(*(self._likers(each, counts[each], effort) for each in few)),
        )
        found = dict(zip(few, likers, strict=True))
        if "cassandra" not in effort.away:
            warm = {post_id: (counts[post_id], found[post_id]) for post_id in few}
            await effort.ask("redis", None, self._stores.reaction_cache.warm)(warm)
        liked = liked | {post_id for post_id in few if viewer_id in found[post_id]}
        return {post_id: (counts[post_id], post_id in liked) for post_id in post_ids}

    async def _likers(self, post_id: str, counts: Counts, effort: BestEffort) -> Sequence[str]:
        """Who likes a post; nobody, by its counts: then a first like is still to be applied."""
        if not counts.likes:
            return ()
        nobody: list[str] = []
        return await effort.ask("cassandra", nobody, self._stores.reactions.likers)(post_id)
