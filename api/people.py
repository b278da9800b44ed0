"""People as answers show them: the short form beside a post, and the whole profile."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from pydantic import BaseModel

from api.deps import Deps
from domain.entities import Photo, PhotoStatus, User
from domain.errors import Transient
from domain.media import image_urls

_COUNTED_EXACTLY = 1000
_PROFILES_AT_ONCE = 8


class Person(BaseModel):
    """Somebody beside what they did."""

    user_id: str
    username: str
    avatar_url: str | None


class Account(Person):
    """What registration and edits answer."""

    display_name: str
    bio: str


class Profile(Account):
    """Somebody's page."""

    follower_count: int
    following_count: int
    post_count: int
    followed_by_viewer: bool


async def people(deps: Deps, user_ids: Iterable[str]) -> dict[str, Person]:
    """Those of `user_ids` that exist, in the short form."""
    users = await deps.stores.users.get_many(sorted(set(user_ids)))
    avatars = await _avatars(deps, users.values())
    return {
        user.user_id: Person(
            user_id=user.user_id, username=user.username, avatar_url=avatars.get(user.user_id)
        )
        for user in users.values()
    }


async def account(deps: Deps, user: User) -> Account:
    """One person without the counts."""
    avatars = await _avatars(deps, [user])
    return Account(
        user_id=user.user_id,
        username=user.username,
        display_name=user.display_name,
        avatar_url=avatars.get(user.user_id),
        bio=user.bio,
    )


async def profiles(deps: Deps, viewer: str, users: Sequence[User]) -> list[Profile]:
    """Whole profiles, in the order given, a few at a time."""
    avatars = await _avatars(deps, users)
    places = asyncio.Semaphore(_PROFILES_AT_ONCE)

    async def one(user: User) -> Profile:
        async with places:
            (followers, following), posts, edge = await asyncio.gather(
                follow_counts(deps, user.user_id),
                deps.stores.photos.count_by_user(user.user_id),
                deps.stores.follows.edge(viewer, user.user_id),
            )
        return Profile(
            user_id=user.user_id,
            username=user.username,
            display_name=user.display_name,
            avatar_url=avatars.get(user.user_id),
            bio=user.bio,
            follower_count=followers,
            following_count=following,
            post_count=posts,
            followed_by_viewer=edge is not None and edge.following,
        )

    return list(await asyncio.gather(*map(one, users)))


async def follow_counts(deps: Deps, user_id: str) -> tuple[int, int]:
    """(followers, following), exact; of the much followed the cached number of followers.

    Counting those would cost, and nobody sees one more.
    """
    with suppress(Transient):
        ask = deps.breakers["redis"].run
        cached = await ask(deps.stores.follow_cache.follower_count, user_id)
        if cached is not None and cached > _COUNTED_EXACTLY:
            return cached, len(await deps.stores.follows.following(user_id))
    return await deps.stores.follows.counts(user_id)


def is_live(photo: Photo | None) -> bool:
    """Whether a photo is a post that may be shown."""
    return photo is not None and photo.status is PhotoStatus.PUBLISHED


async def _avatars(deps: Deps, users: Iterable[User]) -> dict[str, str]:
    """Avatar URLs by user; people go without while the photos' store is away."""
    wanted = {user.avatar_photo_id: user.user_id for user in users if user.avatar_photo_id}
    if not wanted:
        return {}
    try:
        photos = await deps.stores.photos.get_many(list(wanted))
    except Transient:
        return {}
    edge = deps.settings.url("edge")
    return {
        wanted[photo_id]: image_urls(edge, photo)["thumbnail"]
        for photo_id, photo in photos.items()
        if is_live(photo) and photo.user_id == wanted[photo_id]
    }
