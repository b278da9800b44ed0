"""GET /feed and GET /users/{id}/feed over the real stores."""

import asyncio

import pytest
from prometheus_client import REGISTRY

from api.posts import PostPage
from domain import cursors
from tests.api.world import Someone, World, is_problem
from tests.fresh import fresh_id


async def follow(world: World, who: Someone, whom: Someone) -> None:
    assert (await world.call("POST", f"/follow/{whom.user_id}", who)).status_code == 200


async def test_a_feed_is_walked_by_its_cursors(world: World) -> None:
    ann, bob, eve = [await world.someone() for _ in range(3)]
    posts = [(await world.post(who)).photo_id for who in (bob, eve, bob, eve, bob)]
    mine = await world.post(ann)
    await follow(world, ann, bob)
    await follow(world, ann, eve)
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        answer = await world.call("GET", "/feed", ann, params=query)
        assert answer.status_code == 200
        page = PostPage.model_validate_json(answer.content)
        assert page.completeness == "complete"
        seen += [post.post_id for post in page.posts]
        if page.next_cursor is None:
            break
        assert (page.has_more, len(page.posts)) == (True, 2)
        query["cursor"] = page.next_cursor
    assert seen == posts[::-1]
    assert mine.photo_id not in seen


async def test_an_unfollow_empties_and_a_refollow_refills_the_next_read(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post = (await world.post(bob)).photo_id
    await follow(world, ann, bob)

    async def read() -> list[str]:
        page = (await world.call("GET", "/feed", ann)).json()
        return [each["post_id"] for each in page["posts"]]

    assert await read() == [post]
    await world.call("DELETE", f"/follow/{bob.user_id}", ann)
    assert await read() == []
    await follow(world, ann, bob)
    for _ in range(100):  # the refill is a stage's
        if await read() == [post]:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the posts of a followee didn't come back")


async def test_a_grid_shows_a_persons_own_posts_to_anybody(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    posts = [(await world.post(bob)).photo_id for _ in range(14)][::-1]
    path = f"/users/{bob.user_id}/feed"
    first = (await world.call("GET", path, ann)).json()
    assert [post["post_id"] for post in first["posts"]] == posts[:12]
    params = {"cursor": first["next_cursor"]}
    second = (await world.call("GET", path, ann, params=params)).json()
    assert [post["post_id"] for post in second["posts"]] == posts[12:]
    assert (second["has_more"], second["next_cursor"]) == (False, None)


async def test_an_unknown_person_has_no_grid(world: World) -> None:
    ann = await world.someone()
    for user_id in (fresh_id("u_"), "u_zzzzzzzzzzz", "nobody"):
        is_problem(await world.call("GET", f"/users/{user_id}/feed", ann), 404, "not-found")


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "-1"},
        {"limit": "1.5"},
        {"limit": ""},
        {"limit": "٣"},
        {"order": "ranked"},
        {"order": "random"},
        {"cursor": ""},
        {"cursor": "x"},
        {"cursor": "é"},
        {"cursor": cursors.encode("feed", 5, "nonsense")},
        {"cursor": cursors.encode("feed", "5", "ph_00000000001")},
        {"cursor": cursors.encode("grid:u_00000000001", 5, "ph_00000000001")},
        {"cursor": cursors.encode("followers", 5, "u_00000000001")},
    ],
)
async def test_what_is_out_of_range_or_foreign_is_refused(
    world: World, query: dict[str, str]
) -> None:
    ann = await world.someone()
    is_problem(await world.call("GET", "/feed", ann, params=query), 422, "validation")


async def test_a_grids_cursor_is_that_grids_alone(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    for _ in range(2):
        await world.post(ann)
    page = (await world.call("GET", f"/users/{ann.user_id}/feed", bob, params={"limit": 1})).json()
    params = {"cursor": page["next_cursor"]}
    for path in ("/feed", f"/users/{bob.user_id}/feed"):
        is_problem(await world.call("GET", path, ann, params=params), 422, "validation")


async def test_the_first_page_has_a_tag_and_is_not_sent_twice(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post = await world.post(bob)
    await follow(world, ann, bob)
    first = await world.call("GET", "/feed", ann)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert first.headers["vary"] == "authorization"
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = await world.call("GET", "/feed", ann, headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert "x-request-id" in again.headers
    other = await world.call("GET", "/feed", ann, headers={"If-None-Match": '"x"'})
    assert (other.status_code, other.content) == (200, first.content)
    await world.call("POST", f"/likes/{post.photo_id}", ann)  # the viewer's own, shown at once
    changed = await world.call("GET", "/feed", ann, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.json()["posts"][0]["liked_by_viewer"]


async def test_later_pages_have_no_tag_and_a_cursor_of_its_order(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    posts = [await world.post(bob) for _ in range(3)]
    await follow(world, ann, bob)
    cursor = (await world.call("GET", "/feed", ann, params={"limit": 1})).json()["next_cursor"]
    place = cursors.decode("feed:recent", (int, str), cursor)
    later = await world.call("GET", "/feed", ann, params={"limit": 1, "cursor": cursor})
    assert "etag" not in later.headers
    assert later.headers["cache-control"] == "no-store"
    old = cursors.encode("feed", *place)  # as it was spelled before there were orders
    same = await world.call("GET", "/feed", ann, params={"limit": 1, "cursor": old})
    assert same.json()["posts"] == later.json()["posts"]
    assert same.json()["posts"][0]["post_id"] == posts[1].photo_id
    other = cursors.encode("feed:ranked", *place)
    refused = await world.call("GET", "/feed", ann, params={"cursor": other})
    is_problem(refused, 422, "validation")


async def test_the_hot_path_has_the_duties_of_every_other(world: World) -> None:
    ann = await world.someone()
    sent = {"X-Request-Id": "client-7/abc"}
    labels = {"method": "GET", "route": "/feed", "status": "200"}
    before = REGISTRY.get_sample_value("http_requests_total", labels) or 0
    hot = await world.call("GET", "/feed", ann, headers=sent)
    usual = await world.call("GET", f"/users/{ann.user_id}/feed", ann, headers=sent)
    own = {"etag", "vary"}
    assert set(hot.headers) - own == set(usual.headers)
    same = set(usual.headers) - {"content-length", "cache-control", "ratelimit"}
    assert {name: hot.headers[name] for name in same} == {n: usual.headers[n] for n in same}
    assert hot.headers["x-request-id"] == "client-7/abc"
    assert REGISTRY.get_sample_value("http_requests_total", labels) == before + 1
    head = await world.call("HEAD", "/feed", ann)
    assert (head.status_code, head.headers["etag"]) == (200, hot.headers["etag"])
    for answer in (
        await world.call("GET", "/feed", headers={"Authorization": "Bearer x"}),
        await world.call("GET", "/feed/stream"),
    ):
        is_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["ratelimit"]


async def test_feeds_want_a_token(world: World) -> None:
    for path in ("/feed", "/users/u_00000000001/feed"):
        is_problem(await world.call("GET", path), 401, "unauthenticated")
