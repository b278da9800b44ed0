"""What Shelf promises, by its twin and by the real server: a page as the caches know it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from domain.entities import Counts, FeedEntry
from domain.ids import compose, spell
from domain.ports.feeds import PostCache, Shelf, Shown, ShownPost
from domain.ports.graph import FollowCache
from domain.ports.reactions import ReactionCache
from stores.memory.redis import (
    MemoryFollowCache,
    MemoryPostCache,
    MemoryReactionCache,
    MemoryShelf,
)
from tests.fresh import fresh_id, now_ms

if TYPE_CHECKING:
    from stores.connect import Stores


@dataclass(frozen=True)
class Caches:
    """A shelf and the caches that fill it."""

    shelf: Shelf
    posts: PostCache
    reactions: ReactionCache
    follows: FollowCache


@pytest.fixture(params=["memory", "stores", "cluster_stores"])
def caches(request: pytest.FixtureRequest) -> Caches:
    if request.param == "memory":
        posts, reactions, follows = MemoryPostCache(), MemoryReactionCache(), MemoryFollowCache()
        return Caches(MemoryShelf(posts, reactions, follows), posts, reactions, follows)
    stores: Stores = request.getfixturevalue(request.param)
    return Caches(stores.shelf, stores.post_cache, stores.reaction_cache, stores.follow_cache)


@pytest.fixture
def viewer() -> str:
    return fresh_id("u_")


def fresh_entries(count: int) -> list[FeedEntry]:
    return [FeedEntry(number, fresh_id("ph_"), fresh_id("u_")) for number in range(count)]


async def test_nothing_is_known_of_what_is_cold(caches: Caches, viewer: str) -> None:
    nothing = Shown([ShownPost()], {}, None)
    assert await caches.shelf.read(fresh_entries(1), viewer) == nothing


@pytest.mark.parametrize("warm", [False, True])
async def test_a_page_without_entries_shows_nothing(
    caches: Caches, viewer: str, warm: bool
) -> None:
    if warm:
        await follow(caches, viewer, [])
    shown = await caches.shelf.read([], viewer)
    assert shown == Shown([], {}, set() if warm else None)


async def test_a_warm_page_shows_everything(caches: Caches, viewer: str) -> None:
    page = fresh_entries(3)
    first, second, third = page
    await caches.posts.put({first.post_id: b"{1}", second.post_id: b"\r\n$-1\r\n" * 9999})
    await caches.posts.replace({third.post_id: b""})
    await caches.posts.put({first.author_id: b"{u}", third.author_id: b"{w}"})
    await caches.reactions.warm({first.post_id: (Counts(1, 2), [viewer])})
    await caches.reactions.warm({third.post_id: (Counts(7), [])})
    await caches.reactions.note_click(second.post_id, viewer, fresh_id(), liked=True)
    await caches.reactions.note_click(third.post_id, viewer, fresh_id(), liked=False)
    await follow(caches, viewer, [second.author_id])
    shown = await caches.shelf.read(page, viewer)
    *live, gone = shown.posts
    assert live == [
        ShownPost(b"{1}", b"{u}", Counts(1, 2), liked=True),
        ShownPost(b"\r\n$-1\r\n" * 9999),
    ]
    assert gone.post == b""
    assert shown.clicks == {second.post_id: True, third.post_id: False}
    assert shown.follows == {second.author_id}


async def test_likes_of_a_cold_set_are_not_told(caches: Caches, viewer: str) -> None:
    sets, counted = fresh_entries(2)
    await caches.reactions.put_likers(sets.post_id, [viewer])
    await caches.reactions.put_counts(counted.post_id, Counts(3))
    shown = await caches.shelf.read([sets, counted], viewer)
    assert shown.posts == [ShownPost(), ShownPost()]


async def test_entries_of_one_author_share_what_is_theirs(caches: Caches, viewer: str) -> None:
    author = fresh_id("u_")
    page = [FeedEntry(number, fresh_id("ph_"), author) for number in range(3)]
    await caches.posts.put({author: b"{}"})
    await follow(caches, viewer, [author])
    shown = await caches.shelf.read(page, viewer)
    assert ([row.person for row in shown.posts], shown.follows) == ([b"{}"] * 3, {author})


@pytest.mark.parametrize("newest_last", [True, False])
async def test_a_click_is_the_newest_and_for_its_viewer_alone(
    caches: Caches, viewer: str, newest_last: bool
) -> None:
    page, other = fresh_entries(2), fresh_id("u_")
    cold, warm = (entry.post_id for entry in page)
    await caches.reactions.warm({warm: (Counts(1), [other])})
    clicks = [(event_id, n == 1) for n, event_id in enumerate((fresh_id(), fresh_id()))]
    for event_id, liked in clicks if newest_last else reversed(clicks):
        await caches.reactions.note_click(cold, viewer, event_id, liked=liked)
    await caches.reactions.note_click(warm, other, fresh_id(), liked=False)
    own, theirs = [await caches.shelf.read(page, who) for who in (viewer, other)]
    assert (own.clicks, theirs.clicks) == ({cold: True}, {warm: False})
    assert [row.liked for row in theirs.posts] == [False, True], "what is counted is told beside it"
    assert await caches.reactions.put_like(warm, viewer, liked=False) == 1


async def test_a_click_of_long_ago_is_forgotten_though_its_viewer_goes_on_clicking(
    any_stores: "Stores", viewer: str
) -> None:
    cache, page = any_stores.reaction_cache, fresh_entries(2)
    post, another = (entry.post_id for entry in page)
    long_ago = spell(compose(now_ms() - 11_000, 0, 0))
    await cache.note_click(another, viewer, fresh_id(), liked=True)
    await cache.note_click(post, viewer, long_ago, liked=True)
    assert (await any_stores.shelf.read(page, viewer)).clicks == {another: True}
    await cache.note_click(another, viewer, fresh_id(), liked=False)
    assert await any_stores.redis_server.call("HLEN", f"clicked:{viewer}") == 1


async def follow(caches: Caches, viewer: str, followees: list[str]) -> None:
    token = await caches.follows.following_token(viewer)
    await caches.follows.put_following(viewer, followees, token)
