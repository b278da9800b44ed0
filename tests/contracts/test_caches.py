"""What FollowCache, PostCache and ReactionCache promise, by twins and by the real server."""

import pytest

from domain.entities import Counts
from domain.ids import compose, spell
from domain.ports.feeds import PostCache
from domain.ports.graph import FollowCache
from domain.ports.reactions import ReactionCache
from domain.settings import Feed
from stores import redis_client
from stores.connect import Stores
from stores.memory.redis import MemoryFollowCache, MemoryPostCache, MemoryReactionCache
from tests.fresh import fresh_id, now_ms

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


async def test_readings_renew_the_life_of_what_they_find(
    any_stores: Stores, post: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "RENEWING_SHARE", 1)
    keys = [f"{kind}:{post}" for kind in ("post", "likes", "counts")]
    await any_stores.post_cache.put({post: b"{}"})
    await any_stores.reaction_cache.warm({post: (Counts(), [])})
    for key in keys:
        await any_stores.redis_server.call("EXPIRE", key, 10)
    await any_stores.post_cache.get([post])
    await any_stores.reaction_cache.get([post], fresh_id("u_"))
    assert all([await any_stores.redis_server.call("TTL", key) >= FEED.post_ttl_s for key in keys])


async def test_a_cold_set_of_likers_tells_nothing(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    assert await reaction_cache.put_like(post, user, liked=True) is None
    await reaction_cache.put_counts(post, Counts(1, 0))
    assert await reaction_cache.get([post], user) == [(None, False, None)]
    assert await reaction_cache.get([], user) == []


@pytest.mark.parametrize("newest_last", [True, False])
async def test_a_click_is_the_newest_and_for_its_viewer_alone(
    reaction_cache: ReactionCache, user: str, post: str, newest_last: bool
) -> None:
    warm, other = fresh_id("ph_"), fresh_id("u_")
    await reaction_cache.warm({warm: (Counts(1), [other])})
    clicks = [(event_id, n == 1) for n, event_id in enumerate((fresh_id(), fresh_id()))]
    for event_id, liked in clicks if newest_last else reversed(clicks):
        await reaction_cache.note_click(post, user, event_id, liked=liked)
    await reaction_cache.note_click(warm, other, fresh_id(), liked=False)
    assert await reaction_cache.get([post, warm], user) == [
        (None, False, True),
        (Counts(1), False, None),
    ]
    assert await reaction_cache.get([warm], other) == [(Counts(1), True, False)]
    assert await reaction_cache.put_like(warm, user, liked=False) == 1


async def test_a_click_of_long_ago_is_forgotten_though_its_viewer_goes_on_clicking(
    any_stores: Stores, user: str, post: str
) -> None:
    cache, another = any_stores.reaction_cache, fresh_id("ph_")
    long_ago = spell(compose(now_ms() - 11_000, 0, 0))
    await cache.note_click(another, user, fresh_id(), liked=True)
    await cache.note_click(post, user, long_ago, liked=True)
    assert await cache.get([post, another], user) == [(None, False, None), (None, False, True)]
    await cache.note_click(another, user, fresh_id(), liked=False)
    assert await any_stores.redis_server.call("HLEN", f"clicked:{user}") == 1


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
        (Counts(1, 3), True, None),
        (None, False, None),
    ]
    assert await reaction_cache.get([post], other) == [(Counts(1, 3), False, None)]


async def test_warming_replaces_what_was_there(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    await reaction_cache.put_likers(post, [user])
    many = [fresh_id("u_") for _ in range(2500)]
    assert await reaction_cache.put_likers(post, many) == 2500
    await reaction_cache.put_counts(post, Counts(2500))
    assert await reaction_cache.get([post], user) == [(Counts(2500), False, None)]
    assert await reaction_cache.get([post], many[7]) == [(Counts(2500), True, None)]


async def test_a_reader_warms_what_is_cold_and_nothing_else(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    cold = fresh_id("ph_")
    await reaction_cache.put_likers(post, [user])
    await reaction_cache.put_counts(post, Counts(1, 1))
    await reaction_cache.warm({post: (Counts(), []), cold: (Counts(1, 2), [user])})
    assert await reaction_cache.get([post, cold], user) == [
        (Counts(1, 1), True, None),
        (Counts(1, 2), True, None),
    ]
    assert await reaction_cache.put_like(cold, user, liked=False) == 0
    await reaction_cache.warm({})


async def test_a_post_that_nobody_likes_can_be_warm(
    reaction_cache: ReactionCache, user: str, post: str
) -> None:
    await reaction_cache.warm({post: (Counts(), [])})
    assert await reaction_cache.get([post], user) == [(Counts(), False, None)]
