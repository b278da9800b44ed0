"""What holds for every answer: problems, ids, headers, limits of size; health; the description."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY, generate_latest

from api.app import create_app
from api.feed import hot_path
from api.front import trace
from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores
from tests.api.world import World, is_problem


async def test_every_kind_of_error_is_a_problem(world: World) -> None:
    ann = await world.someone()
    is_problem(await world.call("GET", "/nowhere"), 404, "not-found")
    is_problem(await world.call("GET", "/app/nowhere"), 404, "not-found")
    is_problem(await world.call("GET", "/docs/assets/../../secrets.json"), 404, "not-found")
    is_problem(await world.call("DELETE", "/feed", ann), 405, "method-not-allowed")
    is_problem(await world.call("GET", "/feed"), 401, "unauthenticated")
    path, as_json = "/notifications/read", {"Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b"null", b'"x"'):
        answer = await world.call("POST", path, ann, content=body, headers=as_json)
        is_problem(answer, 422, "validation")
    is_problem(await world.call("POST", path, ann, data={"a": "b"}), 422, "validation")
    answer = await world.call("POST", path, ann, content=b"\xff", headers=as_json)
    is_problem(answer, 400, "bad-request")


async def test_a_bug_answers_a_problem_that_tells_nothing(world: World) -> None:
    ann = await world.someone()

    class Broken:
        async def page(self, *_: object) -> None:
            raise RuntimeError("the secret is swordfish")

        read_up_to = unread_count = page

    whole = world.stores.notifications
    world.stores.__dict__["notifications"] = Broken()
    try:
        answer = await world.call("GET", "/notifications", ann)
    finally:
        world.stores.__dict__["notifications"] = whole
    is_problem(answer, 500, "internal")
    assert "swordfish" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]


async def test_bodies_have_a_limit_whether_announced_or_not(world: World) -> None:
    ann = await world.someone()
    big = b'{"text": "' + b"x" * 70_000 + b'"}'

    async def trickle() -> AsyncIterator[bytes]:
        for at in range(0, len(big), 10_000):
            yield big[at : at + 10_000]

    for content in (big, trickle()):
        answer = await world.call("POST", "/notifications/read", ann, content=content)
        is_problem(answer, 413, "too-large")


async def test_a_sane_request_id_comes_back_any_other_is_replaced(world: World) -> None:
    given = {"X-Request-Id": "client-7/abc"}
    answer = await world.call("GET", "/health/live", headers=given)
    assert answer.headers["x-request-id"] == "client-7/abc"
    seen = set()
    for bad in ("", "a b", "x" * 129, "é", "<script>"):
        headers = [(b"X-Request-Id", bad.encode())]
        answer = await world.http.get("/health/live", headers=headers)
        seen.add(answer.headers["x-request-id"])
    assert len(seen) == 5
    assert all(len(made) == 32 for made in seen)


def test_a_trace_is_continued_or_begun() -> None:
    ours = trace.continued("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")
    assert ours.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert ours.endswith("-00")
    assert "b7ad6b7169203331" not in ours
    for bad in (None, "", "00-" + "0" * 32 + "-b7ad6b7169203331-01", "ff-a-b-c"):
        assert len(trace.continued(bad)) == 55


async def test_every_answer_carries_the_security_headers(world: World) -> None:
    for path in ("/health/live", "/nowhere", "/docs", "/app/"):
        headers = (await world.call("GET", path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["ratelimit"]


async def test_alive_asks_nobody_and_ready_asks_all(world: World) -> None:
    live = await world.call("GET", "/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    await world.call("GET", "/health/ready")  # connects; on a busy machine that takes its time
    ready = await world.call("GET", "/health/ready")
    assert ready.json()["status"] == "ready", ready.text
    names = {"ids", "postgres", "cassandra", "kafka", "redis", "search", "s3"}
    assert set(ready.json()["dependencies"]) == names


async def test_ready_says_what_is_away_and_stays_alive(
    settings: Settings, secrets: Secrets, stores: Stores
) -> None:
    loop = asyncio.get_running_loop()
    for name, status, code in (("redis", "degraded", 200), ("kafka", "unready", 503)):
        closed = settings.model_copy(update={"ports": settings.ports.model_copy(update={name: 9})})
        away = Stores(closed, secrets)
        for kept in ("ids", "postgres", "cassandra"):
            away.__dict__[kept] = getattr(stores, kept)
        async with World(create_app(closed, secrets, away), away) as world:
            started = loop.time()
            ready = await world.call("GET", "/health/ready")
            assert loop.time() - started < 3
            assert (ready.status_code, ready.json()["status"]) == (code, status)
            down = [n for n, d in ready.json()["dependencies"].items() if d["state"] == "down"]
            assert down == [name]
            assert (await world.call("GET", "/health/live")).status_code == 200
        await away.close()


async def test_the_description_is_whole(world: World, app: FastAPI) -> None:
    document = (await world.call("GET", "/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    [scheme] = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert "Problem" in document["components"]["schemas"]
    operation_ids = []
    for path in document["paths"].values():
        for method, operation in path.items():
            operation_ids.append(operation["operationId"])
            for errors in ("4XX", "5XX"):
                problem = {"$ref": "#/components/responses/Problem"}
                assert operation["responses"][errors] == problem
            keyed = {"$ref": "#/components/parameters/IdempotencyKey"}
            assert (keyed in operation.get("parameters", [])) is (method != "get")
    assert len(operation_ids) == len(set(operation_ids))
    for route in hot_path.routes(app.state.deps):
        assert route.path in document["paths"]


async def test_the_rendering_needs_nothing_from_elsewhere(world: World) -> None:
    page = (await world.call("GET", "/docs")).text
    assert "https://" not in page
    assert "cdn" not in page.lower()
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert asset in page
        assert (await world.call("GET", f"/docs/assets/{asset}")).status_code == 200


async def test_the_root_leads_to_the_page(world: World, settings: Settings) -> None:
    answer = await world.call("GET", "/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/app/")
    page = await world.call("GET", "/app/")
    assert page.headers["content-type"].startswith("text/html")
    assert settings.url("edge") in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/metrics", "/ops", "/admin", "/app/../deps.py", "/app/%2e%2e/deps.py"]
)
async def test_nothing_of_the_operators_is_public(world: World, path: str) -> None:
    assert (await world.call("GET", path)).status_code == 404


async def test_metrics_name_the_route_not_the_call(world: World) -> None:
    ann = await world.someone()
    labels = {"method": "GET", "route": "/users/{user_id}", "status": "200"}
    before = REGISTRY.get_sample_value("http_requests_total", labels) or 0
    await world.call("GET", f"/users/{ann.user_id}", ann)
    assert REGISTRY.get_sample_value("http_requests_total", labels) == before + 1
    lost = {"method": "GET", "route": "unmatched", "status": "404"}
    await world.call("GET", "/nowhere/at/all")
    assert REGISTRY.get_sample_value("http_requests_total", lost)
    exposed = generate_latest().decode()
    assert ann.user_id not in exposed
