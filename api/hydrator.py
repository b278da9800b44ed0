"""Entries into posts: ready bytes from Redis in one round trip, misses from the durable stores.

What was missed is read once, however many readers miss it, and written back, so that the next
reader finds it (seed section 8).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from api.metrics import FeedStep
from api.resilience.best_effort import BestEffort
from api.resilience.breakers import Breakers
from api.resilience.shared_reads import SharedReads
from domain.clicks import with_click
from domain.entities import Counts, FeedEntry, Photo, PhotoStatus, User
from domain.ports.accounts import Users
from domain.ports.feeds import PostCache, Shelf, Shown
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
        """What the caches hold of a page, in one round trip; nothing while they are away."""
        shown = await effort.ask("redis", None, self._stores.shelf.read)(entries, viewer_id)
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
            with FeedStep("misses"):
                filled = await self._filled(entries, shown, viewer_id, effort)
            live, _ = _joined(entries, filled)
        return live

    async def _filled(
        self, entries: Sequence[FeedEntry], shown: Shown, viewer_id: str, effort: BestEffort
    ) -> Shown:
        """With what the caches lacked. Posts and people that are absent then are gone."""
        ids = [entry.post_id for entry in entries]
        authors = [entry.author_id for entry in entries]
        alive = [each for each, post in zip(ids, shown.posts, strict=True) if post != b""]
        known = dict(zip(ids, shown.counts, strict=True))
        posts, people, reacted = await asyncio.gather(
            self._posts.get(_absent(ids, shown.posts), effort),
            self._people.get(_absent(authors, shown.people), effort),
            self._reactions([each for each in alive if known[each] is None], viewer_id, effort),
        )
        fresh = [reacted.get(each) for each in ids]
        return replace(
            shown,
            posts=_completed(ids, shown.posts, posts),
            people=_completed(authors, shown.people, people),
            counts=[new[0] if new else old for new, old in zip(fresh, shown.counts, strict=True)],
            liked=[new[1] if new else old for new, old in zip(fresh, shown.liked, strict=True)],
        )

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
    columns = (shown.posts, shown.people, shown.counts, shown.liked)
    clicks = shown.clicks
    for entry, post, person, known, counted in zip(entries, *columns, strict=True):
        if post and person and known is not None:
            counts, liked = known, counted
            if clicks or not known.likes:
                counts, liked = with_click(known, clicks.get(entry.post_id), liked=counted)
            live.append((entry, join_post(post, person, counts, liked=liked)))
        elif post != b"" and person != b"":
            whole = False
    return live, whole


def _nothing(entries: int) -> Shown:
    """What a shelf shows that can't be read."""
    absent: list[None] = [None] * entries
    return Shown([*absent], [*absent], [*absent], [False] * entries, {}, None)


def _absent(ids: Sequence[str], found: Sequence[bytes | None]) -> list[str]:
    """Those without bytes, once each; none that is known to be gone."""
    return list({each: None for each, known in zip(ids, found, strict=True) if known is None})


def _completed(
    ids: Sequence[str], found: Sequence[bytes | None], made: Mapping[str, bytes]
) -> list[bytes | None]:
    return [made.get(each) if old is None else old for each, old in zip(ids, found, strict=True)]
