"""Feeds through the API while the stack's own Redis and Cassandra are stopped."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest

from api.app import create_app
from api.resilience.breakers import STORE_LIMIT_S
from domain.secrets import Secrets
from domain.settings import Limits, Settings
from stores.connect import Stores
from tests.api.world import Someone, World, is_problem
from tests.waiting import until

SWITCH_OVER_S = 15.0
QUICK_S = 1.0
"""A read that waited for nobody, on a busy machine."""
POSTS = 8


@pytest.fixture
async def world(settings: Settings) -> AsyncIterator[World]:
    """An API process of the test's own."""
    secrets = Secrets.load(settings.run_dir)
    many = 1_000_000
    limits = Limits(registrations_per_ip=many, calls_per_user=many, calls_per_ip=many)
    stores = Stores(settings, secrets)
    await stores.ids.start()
    app = create_app(settings.model_copy(update={"limits": limits}), secrets, stores)
    async with World(app, stores) as opened:
        yield opened
    await app.state.deps.feeds.close()
    await stores.close()


@contextmanager
def stopped(settings: Settings, role: str) -> Iterator[None]:
    """Meanwhile the server takes connections and bytes, and answers nothing."""
    pid = int((settings.run_dir / "pids" / f"{role}.pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def reader(world: World, author: Someone) -> Someone:
    """Somebody who follows the author and hasn't read yet."""
    someone = await world.someone()
    answer = await world.call("POST", f"/follow/{author.user_id}", someone)
    assert answer.status_code == 200, answer.text
    return someone


async def author(world: World) -> tuple[Someone, list[str]]:
    """Somebody with posts, and these, newest first."""
    someone = await world.someone()
    posts = [await world.post(someone) for _ in range(POSTS)]
    return someone, [post.photo_id for post in reversed(posts)]


async def feed(world: World, who: Someone) -> tuple[list[str], str]:
    """The ids on the first page, and what it can be trusted for; any error fails."""
    answer = await world.call("GET", "/feed", who)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    return [post["post_id"] for post in page["posts"]], page["completeness"]


async def at_once(world: World, who: Someone, want: tuple[list[str], str]) -> None:
    """Wait until this is what is read, and without waiting."""

    async def is_so() -> bool:
        began = time.perf_counter()
        found = await feed(world, who)
        return found == want and time.perf_counter() - began < QUICK_S

    await until(is_so, SWITCH_OVER_S)


async def why(world: World, who: Someone, post_id: str) -> tuple[httpx.Response, float]:
    """Whether a post is in the feed, and the seconds the answer took."""
    began = time.perf_counter()
    answer = await world.call("GET", f"/feed/explain?post_id={post_id}", who)
    return answer, time.perf_counter() - began


async def breaker(world: World, store: str) -> str:
    ready = await world.call("GET", "/health/ready")
    return str(ready.json()["dependencies"][store]["breaker"])


async def test_while_redis_is_stopped_feeds_are_read(world: World, settings: Settings) -> None:
    ann, posts = await author(world)
    bob, new = await reader(world, ann), await reader(world, ann)
    await at_once(world, bob, (posts, "complete"))
    with stopped(settings, "redis"):
        await at_once(world, bob, (posts, "degraded"))
        assert await breaker(world, "redis") in {"open", "half_open"}
        await at_once(world, new, (posts[:5], "degraded"))
        gone = await world.call("DELETE", f"/posts/{posts[0]}", ann)
        assert gone.status_code == 202, gone.text
        await at_once(world, bob, (posts[1:], "degraded"))
        unfollowed = await world.call("DELETE", f"/follow/{ann.user_id}", bob)
        assert unfollowed.status_code == 200, unfollowed.text
        await at_once(world, bob, ([], "degraded"))
    await at_once(world, new, (posts[1:], "complete"))
    await at_once(world, bob, ([], "complete"))
    assert await breaker(world, "redis") == "closed"


async def test_who_was_unfollowed_while_redis_was_stopped_is_not_shown_when_it_is_back(
    world: World, settings: Settings
) -> None:
    """Though the cached follow set is still there, and the stage that drops it is late."""
    ann, posts = await author(world)
    eve, others = await author(world)
    bob = await reader(world, ann)
    assert (await world.call("POST", f"/follow/{eve.user_id}", bob)).status_code == 200
    await at_once(world, bob, (others + posts, "complete"))
    with stopped(settings, "worker-refill_feeds-0"):
        with stopped(settings, "redis"):
            await at_once(world, bob, (others + posts, "degraded"))
            began = time.perf_counter()
            gone = await world.call("DELETE", f"/follow/{ann.user_id}", bob)
            assert gone.status_code == 200, gone.text
            assert time.perf_counter() - began < QUICK_S
        shown, completeness = [""], ""
        while completeness != "complete":
            shown, completeness = await feed(world, bob)
            assert not set(shown) & set(posts), completeness
        assert shown == others


async def test_while_cassandra_is_stopped_warm_feeds_are_whole(
    world: World, settings: Settings
) -> None:
    ann, posts = await author(world)
    bob, new = await reader(world, ann), await reader(world, ann)
    await at_once(world, bob, (posts, "complete"))
    with stopped(settings, "cassandra"):
        await at_once(world, bob, (posts, "complete"))
        await at_once(world, new, ([], "degraded"))
        assert await breaker(world, "cassandra") in {"open", "half_open"}
        await at_once(world, bob, (posts, "complete"))
    await at_once(world, new, (posts, "complete"))


@pytest.mark.parametrize("store", ["redis", "cassandra"])
async def test_why_a_post_is_in_a_feed_is_soon_said_to_be_unknown(
    world: World, settings: Settings, store: str
) -> None:
    ann, posts = await author(world)
    bob = await reader(world, ann)
    await at_once(world, bob, (posts, "complete"))
    with stopped(settings, store):
        for most_s in (STORE_LIMIT_S + QUICK_S,) * 3 + (QUICK_S,) * 3:
            answer, seconds = await why(world, bob, posts[0])
            is_problem(answer, 503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
            assert seconds < most_s

    async def said() -> bool:
        return (await why(world, bob, posts[0]))[0].status_code == 200

    await until(said, SWITCH_OVER_S)
