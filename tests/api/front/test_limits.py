"""Limits: who is counted, who is refused, and what the headers tell."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.app import create_app
from api.front.limits import Limiter, SlidingCounts
from api.problems import Problem
from api.resilience.breakers import Breakers
from domain.secrets import Secrets
from domain.settings import Degradation, Limits, Redis, Settings
from stores.connect import Stores
from stores.redis_client import CallCounts
from tests.api.world import PASSWORD, World, address, is_problem
from tests.fresh import fresh_id

TIGHT = Limits(
    uploads_per_user=3,
    unauthenticated_per_ip=4,
    registrations_per_ip=5,
    calls_per_user=30,
    calls_per_ip=1000,
    trusted_proxies=("10.1.2.3", "fd00::/8"),
)
ANNOUNCED = {"filename": "a.jpg", "content_type": "image/jpeg", "size_bytes": 3}


def tight(settings: Settings, secrets: Secrets, stores: Stores, ip: str | None = None) -> World:
    limited = settings.model_copy(update={"limits": TIGHT})
    return World(create_app(limited, secrets, stores), stores, ip)


@pytest.fixture
async def limited(settings: Settings, secrets: Secrets, stores: Stores) -> AsyncIterator[World]:
    await stores.ids.start()
    async with tight(settings, secrets, stores) as opened:
        yield opened


async def test_uploads_are_limited_by_user_and_say_how_much_is_left(limited: World) -> None:
    ann, bob = await limited.someone(), await limited.someone()
    for left in (2, 1, 0):
        answer = await limited.call("POST", "/photos", ann, json=ANNOUNCED)
        assert answer.status_code == 200
        assert '"uploads";q=3;w=60' in answer.headers["ratelimit-policy"]
        assert f'"uploads";r={left};t=' in answer.headers["ratelimit"]
    refused = await limited.call("POST", "/photos", ann, json=ANNOUNCED)
    is_problem(refused, 429, "rate-limited")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert '"uploads";r=0;t=' in refused.headers["ratelimit"]
    assert (await limited.call("POST", "/photos", bob, json=ANNOUNCED)).status_code == 200


async def test_another_process_counts_the_same_uploads(
    limited: World, settings: Settings, secrets: Secrets, stores: Stores
) -> None:
    ann = await limited.someone()
    for _ in range(3):
        await limited.call("POST", "/photos", ann, json=ANNOUNCED)
    async with tight(settings, secrets, stores) as other:
        is_problem(await other.call("POST", "/photos", ann, json=ANNOUNCED), 429, "rate-limited")


async def test_failed_authentication_is_limited_by_address(limited: World) -> None:
    ann = await limited.someone()
    forged = {"Authorization": "Bearer no.such.token"}
    for headers in ({}, forged, {}):
        is_problem(await limited.call("GET", "/feed", headers=headers), 401, "unauthenticated")
    wrong = {"username": ann.username, "password": "not this one"}
    is_problem(await limited.call("POST", "/auth/token", json=wrong), 401, "bad-credentials")
    refused = await limited.call("GET", "/feed")
    is_problem(refused, 429, "rate-limited")
    assert refused.headers["retry-after"]
    right = {"username": ann.username, "password": PASSWORD}
    is_problem(await limited.call("POST", "/auth/token", json=right), 429, "rate-limited")
    assert (await limited.call("GET", "/feed", ann)).status_code == 200, "valid tokens are not hit"
    assert (await limited.call("GET", "/health/live")).status_code == 200


async def test_registrations_have_a_limit_of_their_own(limited: World) -> None:
    for _ in range(5):
        await limited.someone()
    body = {"username": "n" + fresh_id(), "password": PASSWORD}
    is_problem(await limited.call("POST", "/users", json=body), 429, "rate-limited")


async def test_everything_of_a_user_has_a_generous_limit(limited: World) -> None:
    ann, bob = await limited.someone(), await limited.someone()
    answers = [await limited.call("GET", "/feed", ann) for _ in range(31)]
    assert [answer.status_code for answer in answers] == [200] * 30 + [429]
    assert '"user";r=29;t=' in answers[0].headers["ratelimit"]
    assert (await limited.call("GET", "/feed", bob)).status_code == 200


async def test_a_forwarded_address_counts_only_from_a_trusted_proxy(
    settings: Settings, secrets: Secrets, stores: Stores
) -> None:
    direct, client = address(), address()
    statuses = []
    async with tight(settings, secrets, stores, direct) as world:
        for n in range(5):
            forwarded = {"X-Forwarded-For": f"192.0.2.{n}"}
            statuses.append((await world.call("GET", "/feed", headers=forwarded)).status_code)
    assert statuses == [401] * 4 + [429], "a client can't choose its own address"
    statuses.clear()
    for proxy in ("10.1.2.3", "fd00::17"):
        async with tight(settings, secrets, stores, proxy) as world:
            for n in range(3):
                # what a client puts in front of the proxy's own entry counts for nothing
                forwarded = {"X-Forwarded-For": f"192.0.2.{n}, {client}"}
                statuses.append((await world.call("GET", "/feed", headers=forwarded)).status_code)
    assert statuses == [401] * 4 + [429] * 2, "one client through two proxies"
    async with tight(settings, secrets, stores, "10.1.2.3") as world:
        forwarded = {"X-Forwarded-For": address()}
        assert (await world.call("GET", "/feed", headers=forwarded)).status_code == 401


async def test_without_redis_the_process_counts_for_itself(
    settings: Settings, secrets: Secrets, stores: Stores, limited: World
) -> None:
    ann = await limited.someone()
    closed = settings.model_copy(update={"ports": settings.ports.model_copy(update={"redis": 9})})
    away = Stores(closed, secrets)
    away.__dict__["ids"] = stores.ids
    try:
        async with tight(closed, secrets, away) as world:
            answers = [await world.call("POST", "/photos", ann, json=ANNOUNCED) for _ in range(4)]
            assert [answer.status_code for answer in answers] == [200] * 3 + [429]
            assert '"uploads";r=2;t=' in answers[0].headers["ratelimit"]
    finally:
        away.__dict__.pop("ids")
        await away.close()


def test_the_window_slides_and_forgets() -> None:
    now = 0.0
    counts = SlidingCounts(lambda: now)
    assert [counts.count("a", "k", 4, hit=True)[0] for _ in range(5)] == [True] * 4 + [False]
    assert counts.count("a", "other", 4, hit=False)[1].remaining == 4
    now = 60.0 + 15  # three quarters of the last window still count: one of four is free
    assert counts.count("a", "k", 4, hit=False)[0]
    assert counts.count("a", "k", 4, hit=True)[1].remaining == 0
    assert not counts.count("a", "k", 4, hit=True)[0]
    now = 60.0 * 5
    assert counts.count("a", "k", 4, hit=False)[1].remaining == 4
    assert not counts._current  # noqa: SLF001 - bounded memory is the promise
    assert not counts._before  # noqa: SLF001 - as above


async def test_a_cluster_counts_for_the_fleet(cluster_stores: Stores) -> None:
    """Limits of many keys meet no node that hasn't their slot."""
    breaker = Breakers(Degradation())["redis"]
    limiters = [Limiter(TIGHT, cluster_stores.call_counts, breaker) for _ in range(2)]
    for _ in range(20):
        user, states = fresh_id("u_"), [dict[str, Any]() for _ in range(4)]
        for number in range(3):
            await limiters[number % 2].spend(states[number], "uploads", user)
        with pytest.raises(Problem):
            await limiters[1].spend(states[3], "uploads", user)
        assert [state["limits"]["uploads"].remaining for state in states] == [2, 1, 0, 0]
    assert not any(limiter._own._current for limiter in limiters)  # noqa: SLF001 - Redis counted


async def test_without_any_node_the_process_counts_for_itself() -> None:
    nowhere = Settings(redis=Redis(cluster_nodes=("127.0.0.1:9",)))
    counts = CallCounts(nowhere)
    limiter = Limiter(TIGHT, counts.storage, Breakers(Degradation())["redis"])
    states = [dict[str, Any]() for _ in range(4)]
    for state in states[:3]:
        await limiter.spend(state, "uploads", "u_1")
    with pytest.raises(Problem):
        await limiter.spend(states[3], "uploads", "u_1")
    await counts.close()
