"""GET /feed/explain: one reason of a closed set, in the contract's shape."""

from dataclasses import replace

import pytest

from api.feed.facts import facts_of
from api.resilience.breakers import Breakers
from domain.entities import FeedEntry
from domain.feed_explain import MEANINGS, Reason
from domain.ports.feeds import Shown
from domain.settings import Degradation, Feed
from tests import feed_world
from tests.api.world import Someone, World, is_problem
from tests.feed_world import Life, entry_of
from tests.fresh import fresh_id


async def reason(world: World, who: Someone, post_id: str) -> tuple[str, bool, str | None]:
    answer = await world.call("GET", f"/feed/explain?post_id={post_id}", who)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert set(document) == {"post_id", "in_feed", "how", "reason", "at", "event_id"}
    assert document["post_id"] == post_id
    return document["reason"], document["in_feed"], document["how"]


async def test_it_says_why_and_why_not(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post = await world.post(bob)
    assert await reason(world, ann, post.photo_id) == ("never_followed", False, None)
    assert await reason(world, bob, post.photo_id) == ("own_post", False, None)
    await world.call("POST", f"/follow/{bob.user_id}", ann)
    assert await reason(world, ann, post.photo_id) == ("cold_feed", True, "rebuild")
    await world.call("GET", "/feed", ann)
    assert await reason(world, ann, post.photo_id) == ("backfilled", True, "rebuild")
    await world.stores.timelines.remove(ann.user_id, [entry_of(post)])
    assert await reason(world, ann, post.photo_id) == ("pending", False, None)
    await world.call("DELETE", f"/follow/{bob.user_id}", ann)
    assert await reason(world, ann, post.photo_id) == ("unfollowed", False, None)
    await world.stores.photos.delete(post.photo_id)
    await world.stores.post_cache.replace({post.photo_id: b""})
    assert await reason(world, ann, post.photo_id) == ("deleted", False, None)


async def test_other_peoples_uploads_are_nobodys_business(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    awaited = await world.awaited(bob)
    assert await reason(world, bob, awaited.photo_id) == ("not_published", False, None)
    for post_id in (awaited.photo_id, fresh_id("ph_"), "ph_nonsense"):
        answer = await world.call("GET", f"/feed/explain?post_id={post_id}", ann)
        is_problem(answer, 404, "not-found")


async def test_it_wants_a_token_and_a_post(world: World) -> None:
    answer = await world.call("GET", f"/feed/explain?post_id={fresh_id('ph_')}")
    is_problem(answer, 401, "unauthenticated")
    answer = await world.call("GET", "/feed/explain", await world.someone())
    is_problem(answer, 422, "validation")


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


@pytest.mark.parametrize("followed", [True, False])
async def test_another_author_who_is_followed_lets_nothing_pass(*, followed: bool) -> None:
    life = Life(await feed_world.World(Feed(), 3).settle())
    viewer, author, other = life.world.people
    for each in (author, other):
        await life.follow(viewer, each)
    await life.post(post := feed_world.photo(author, 1, 1))
    await life.read(viewer)
    if not followed:  # and the entry is still in the set
        await life.world.follows.unfollow(viewer, author, "e", 0)
    look = life.world.shelf.read

    async def knows_more(entries: list[FeedEntry], viewer_id: str) -> Shown:
        follows = {other, author} if followed else {other}
        return replace(await look(entries, viewer_id), follows=follows)

    life.world.shelf.read = knows_more  # type: ignore[method-assign,assignment] # as one that keeps
    facts = await facts_of(life.world, viewer, post, Breakers(Degradation()))
    assert (facts.sight is not None, facts.stranger) == (followed, False)
