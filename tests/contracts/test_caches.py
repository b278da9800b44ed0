"""What FollowCache, PostCache and ReactionCache promise, by twins and by the real server."""

from typing import TYPE_CHECKING

import pytest

from domain.entities import Counts
from domain.ports.feeds import PostCache
from domain.ports.graph import FollowCache
from domain.ports.reactions import ReactionCache
from domain.settings import Feed
from stores.memory.redis import MemoryFollowCache, MemoryPostCache, MemoryReactionCache
from tests.fresh import fresh_id

if TYPE_CHECKING:
    from stores.connect import Stores

FEED = Feed()


@pytest.fixture(params=["memory", "stores", "cluster_stores"])
def follow_cache(request: pytest.FixtureRequest) -> FollowCache:
    if request.param == "memory":
        return MemoryFollowCache()
    stores: Stores = request.getfixturevalue(request.param)
    return stores.follow_cache


@pytest.fixture(params=["memory", "stores", "cluster_stores"])
def post_cache(request: pytest.FixtureRequest) -> PostCache:
    if request.param == "memory":
        return MemoryPostCache()
    stores: Stores = request.getfixturevalue(request.param)
    return stores.post_cache


@pytest.fixture(params=["memory", "stores", "cluster_stores"])
def reaction_cache(request: pytest.FixtureRequest) -> ReactionCache:
    if request.param == "memory":
        return MemoryReactionCache()
    stores: Stores = request.getfixturevalue(request.param)
    return stores.reaction_cache


@pytest.fixture
def user() -> str:
    return fresh_id("u_")


@pytest.fixture
def post() -> str:
    return fresh_id("ph_")


@pytest.mark.parametrize("size", [0, 1, 2500])
async def test_a_follow_set_is_kept_whole_even_when_empty(
    follow_cache: FollowCache, user: str, size: int
) -> None:
    assert await follow_cache.following(user) is None
    followees = [fresh_id("u_") for _ in range(size)]
    await follow_cache.put_following(user, followees, await follow_cache.following_token(user))
    assert await follow_cache.following(user) == frozenset(followees)


async def test_a_graph_read_is_not_written_back_after_an_invalidation(
    follow_cache: FollowCache, user: str
) -> None:
    token = await follow_cache.following_token(user)
    await follow_cache.forget_following(user)
    await follow_cache.put_following(user, [fresh_id("u_")], token)
    assert await follow_cache.following(user) is None


async def test_a_token_does_not_make_a_follow_set(follow_cache: FollowCache, user: str) -> None:
    token = await follow_cache.following_token(user)
    assert await follow_cache.following(user) is None
    await follow_cache.put_following(user, [], token)
    await follow_cache.following_token(user)
    assert await follow_cache.following(user) == frozenset()


async def test_forgetting_a_follow_set_makes_it_cold(follow_cache: FollowCache, user: str) -> None:
    await follow_cache.put_following(user, [], await follow_cache.following_token(user))
    await follow_cache.forget_following(user)
    assert await follow_cache.following(user) is None


async def test_follower_counts_and_flags_are_kept(follow_cache: FollowCache, user: str) -> None:
    assert await follow_cache.follower_count(user) is None
    assert await follow_cache.is_celebrity(user) is None
    await follow_cache.put_follower_count(user, 12)
    await follow_cache.put_celebrity(user, flagged=True)
    assert await follow_cache.follower_count(user) == 12
    assert await follow_cache.is_celebrity(user) is True
    await follow_cache.put_celebrity(user, flagged=False)
    assert await follow_cache.is_celebrity(user) is False


async def test_posts_and_people_keep_apart(post_cache: PostCache, user: str, post: str) -> None:
    assert await post_cache.get([]) == []
    assert await post_cache.get([post, user]) == [None, None]
    await post_cache.put({post: b'{"a":1}', user: b"{}"})
    assert await post_cache.get([user, fresh_id("ph_"), post]) == [b"{}", None, b'{"a":1}']
    await post_cache.forget([post])
    await post_cache.forget([])
    assert await post_cache.get([post, user]) == [None, b"{}"]


async def test_a_fill_never_replaces_what_is_there(post_cache: PostCache, post: str) -> None:
    await post_cache.put({post: b"old"})
    await post_cache.put({post: b"older"})
    assert await post_cache.get([post]) == [b"old"]
    await post_cache.replace({post: b"new"})
    await post_cache.put({post: b"old"})
    assert await post_cache.get([post]) == [b"new"]
    await post_cache.replace({post: b""})
    await post_cache.put({post: b"old"})
    assert await post_cache.get([post]) == [b""], "gone, which isn't the same as unknown"


async def test_a_cold_set_of_likers_tells_nothing(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    assert await reaction_cache.put_like(post, user, liked=True) is None
    await reaction_cache.put_counts(post, Counts(1, 0))
    assert await reaction_cache.get([post], user) == [(None, False)]
    assert await reaction_cache.get([], user) == []


async def test_likes_on_a_warm_set_are_counted_once(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    other = fresh_id("u_")
    assert await reaction_cache.put_likers(post, []) == 0
    for _ in range(2):
        assert await reaction_cache.put_like(post, user, liked=True) == 1
    assert await reaction_cache.put_like(post, other, liked=True) == 2
    for _ in range(2):
        assert await reaction_cache.put_like(post, other, liked=False) == 1
    await reaction_cache.put_counts(post, Counts(1, 3))
    cold = fresh_id("ph_")
    assert await reaction_cache.get([post, cold], user) == [
        (Counts(1, 3), True),
        (None, False),
    ]
    assert await reaction_cache.get([post], other) == [(Counts(1, 3), False)]


async def test_warming_replaces_what_was_there(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    await reaction_cache.put_likers(post, [user])
    many = [fresh_id("u_") for _ in range(2500)]
    assert await reaction_cache.put_likers(post, many) == 2500
    await reaction_cache.put_counts(post, Counts(2500))
    assert await reaction_cache.get([post], user) == [(Counts(2500), False)]
    assert await reaction_cache.get([post], many[7]) == [(Counts(2500), True)]


async def test_a_reader_warms_what_is_cold_and_nothing_else(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    cold = fresh_id("ph_")
    await reaction_cache.put_likers(post, [user])
    await reaction_cache.put_counts(post, Counts(1, 1))
    await reaction_cache.warm({post: (Counts(), []), cold: (Counts(1, 2), [user])})
    assert await reaction_cache.get([post, cold], user) == [
        (Counts(1, 1), True),
        (Counts(1, 2), True),
    ]
    assert await reaction_cache.put_like(cold, user, liked=False) == 0
    await reaction_cache.warm({})


async def test_a_post_that_nobody_likes_can_be_warm(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    await reaction_cache.warm({post: (Counts(), [])})
    assert await reaction_cache.get([post], user) == [(Counts(), False)]
