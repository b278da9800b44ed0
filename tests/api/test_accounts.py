"""Accounts, profiles, and the lists of the graph."""

import json

import pytest

from tests.api.world import PASSWORD, World, is_problem
from tests.fresh import fresh_id


async def test_registration_answers_the_account_without_secrets(world: World) -> None:
    name = "Ann." + fresh_id()
    body = {"username": name, "password": PASSWORD, "display_name": "Ann", "bio": "hi\nthere"}
    answer = await world.call("POST", "/users", json=body)
    assert answer.status_code == 201
    account = answer.json()
    assert account.pop("user_id").startswith("u_")
    assert account == {
        "username": name,
        "display_name": "Ann",
        "avatar_url": None,
        "bio": "hi\nthere",
    }


async def test_a_name_is_taken_in_any_case(world: World) -> None:
    ann = await world.someone()
    body = {"username": ann.username.upper(), "password": PASSWORD}
    is_problem(await world.call("POST", "/users", json=body), 409, "username-taken")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", ""),
        ("username", "a b"),
        ("username", "a" * 65),
        ("username", "a\0b"),
        ("username", 5),
        ("password", "short"),
        ("password", "x" * 257),
        ("password", "surrogate \ud800 here"),
        ("display_name", " "),
        ("display_name", "a\0b"),
        ("bio", "x" * 501),
        ("bio", "\ud800"),
    ],
)
async def test_bad_registrations_name_the_field_and_keep_what_was_sent_to_themselves(
    world: World, field: str, value: object
) -> None:
    body = {"username": "n" + fresh_id(), "password": PASSWORD, field: value}
    answer = await world.call(
        "POST",
        "/users",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    is_problem(answer, 422, "validation")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert PASSWORD not in answer.text


async def test_every_bad_field_is_listed(world: World) -> None:
    answer = await world.call("POST", "/users", json={"password": "short", "bio": 5})
    is_problem(answer, 422, "validation")
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields == {"username", "password", "bio"}


async def test_profile_by_id_and_by_name_are_the_same(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    await world.post(ann)
    await world.call("POST", f"/follow/{ann.user_id}", bob)
    by_id = await world.call("GET", f"/users/{ann.user_id}", bob)
    by_name = await world.call("GET", f"/users/by-name/{ann.username.upper()}", bob)
    assert by_id.json() == by_name.json()
    counts = {key: by_id.json()[key] for key in ("follower_count", "following_count", "post_count")}
    assert counts == {"follower_count": 1, "following_count": 0, "post_count": 1}
    assert by_id.json()["followed_by_viewer"] is True


@pytest.mark.parametrize("user_id", ["u_00000000000", "nonsense", "u_0", "ph_00000000000", "%00"])
async def test_unknown_and_impossible_ids_are_unknown_alike(world: World, user_id: str) -> None:
    ann = await world.someone()
    for path in ("", "/followers", "/following", "/feed"):
        is_problem(await world.call("GET", f"/users/{user_id}{path}", ann), 404, "not-found")


@pytest.mark.parametrize("name", ["nobody-at-all", "%00", "%ff", "a%0ab"])
async def test_unknown_names_are_unknown(world: World, name: str) -> None:
    ann = await world.someone()
    is_problem(await world.call("GET", f"/users/by-name/{name}", ann), 404, "not-found")


async def test_an_edit_changes_what_is_given_and_shows_in_the_feed(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    post, face = await world.post(ann), await world.post(ann)
    await world.call("GET", f"/posts/{post.photo_id}", bob)  # caches Ann without a face
    edit = {"bio": "new", "avatar_photo_id": face.photo_id}
    answer = await world.call("PATCH", "/users/me", ann, json=edit)
    assert answer.status_code == 200
    assert answer.json()["display_name"] == ann.username
    assert answer.json()["bio"] == "new"
    avatar = answer.json()["avatar_url"]
    assert face.photo_id in avatar
    assert "thumbnail" in avatar
    shown = await world.call("GET", f"/posts/{post.photo_id}", bob)
    assert shown.json()["user"]["avatar_url"] == avatar


async def test_an_avatar_is_an_own_published_photo(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    foreign, awaited = await world.post(bob), await world.awaited(ann)
    for photo_id in (foreign.photo_id, awaited.photo_id, "ph_00000000000", "x"):
        answer = await world.call("PATCH", "/users/me", ann, json={"avatar_photo_id": photo_id})
        is_problem(answer, 422, "validation")


async def test_followers_page_newest_first_without_gap_or_repeat(world: World) -> None:
    ann = await world.someone()
    fans = [await world.someone() for _ in range(5)]
    for fan in fans:
        await world.call("POST", f"/follow/{ann.user_id}", fan)
    seen: list[str] = []
    cursor = ""
    while True:
        path = f"/users/{ann.user_id}/followers?limit=2{cursor}"
        page = (await world.call("GET", path, ann)).json()
        seen += [user["user_id"] for user in page["users"]]
        assert page["has_more"] is (page["next_cursor"] is not None)
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == sorted(fan.user_id for fan in fans)
    following = (await world.call("GET", f"/users/{fans[0].user_id}/following", ann)).json()
    assert [user["user_id"] for user in following["users"]] == [ann.user_id]


async def test_a_cursor_of_another_list_is_refused(world: World) -> None:
    ann, bob = await world.someone(), await world.someone()
    for fan in (await world.someone(), await world.someone()):
        await world.call("POST", f"/follow/{ann.user_id}", fan)
    page = (await world.call("GET", f"/users/{ann.user_id}/followers?limit=1", ann)).json()
    cursor = page["next_cursor"]
    for path in (
        f"/users/{bob.user_id}/followers",
        f"/users/{ann.user_id}/following",
        "/feed",
        "/notifications",
        "/hashtag/sun",
    ):
        answer = await world.call("GET", f"{path}?cursor={cursor}", ann)
        is_problem(answer, 422, "validation")


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", ""])
async def test_a_limit_out_of_range_is_refused_not_clamped(world: World, limit: str) -> None:
    ann = await world.someone()
    post = await world.post(ann)
    for path in (
        f"/users/{ann.user_id}/followers",
        f"/users/{ann.user_id}/following",
        f"/users/{ann.user_id}/feed",
        "/feed",
        "/notifications",
        "/hashtag/sun",
        f"/likes/{post.photo_id}",
        f"/posts/{post.photo_id}/comments",
    ):
        answer = await world.call("GET", f"{path}?limit={limit}", ann)
        is_problem(answer, 422, "validation")
