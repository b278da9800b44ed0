"""Who may do what: one table for every operation of the API; a new one has to be put in it."""

from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI

from domain.entities import Comment, Notification, Photo, PhotoStatus
from tests.api.world import Someone, World, is_problem
from tests.fresh import fresh_id, now_ms

OPEN = {
    ("post", "/users"),
    ("post", "/auth/token"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
}
"""Need no token."""

SHARED = {
    ("get", "/users/{user_id}"),
    ("get", "/users/by-name/{username}"),
    ("get", "/users/{user_id}/followers"),
    ("get", "/users/{user_id}/following"),
    ("get", "/users/{user_id}/feed"),
    ("get", "/posts/{post_id}"),
    ("get", "/posts/{post_id}/comments"),
    ("post", "/posts/{post_id}/comments"),
    ("get", "/likes/{post_id}"),
    ("get", "/hashtag/{tag}"),
}
"""Anybody signed in may: accounts and posts are public."""

VIEWERS_OWN = {
    ("get", "/feed"),
    ("get", "/feed/explain"),
    ("get", "/feed/stream"),
    ("get", "/notifications"),
    ("post", "/notifications/read"),
    ("patch", "/users/me"),
    ("put", "/users/me/webhook"),
    ("get", "/users/me/webhook"),
    ("delete", "/users/me/webhook"),
    ("post", "/photos"),
    ("post", "/follow/{user_id}"),
    ("delete", "/follow/{user_id}"),
    ("post", "/likes/{post_id}"),
    ("delete", "/likes/{post_id}"),
}
"""Act on the caller's own side alone: no id in the call says whose."""

OWNED = {
    ("get", "/photos/{photo_id}/status"),
    ("post", "/photos/{photo_id}/complete"),
    ("delete", "/comments/{comment_id}"),
    ("patch", "/posts/{post_id}"),
    ("delete", "/posts/{post_id}"),
    ("get", "/photos/{photo_id}/parts"),
    ("delete", "/photos/{photo_id}"),
}
"""Name something that belongs to somebody."""


def operations(app: FastAPI) -> set[tuple[str, str]]:
    return {(method, path) for path, item in app.openapi()["paths"].items() for method in item}


def test_every_operation_has_its_rule(app: FastAPI) -> None:
    ruled = [*OPEN, *SHARED, *VIEWERS_OWN, *OWNED]
    assert len(ruled) == len(set(ruled))
    assert operations(app) == set(ruled)


async def test_everything_but_the_open_ones_needs_a_token(app: FastAPI, world: World) -> None:
    for method, path in sorted(operations(app) - OPEN):
        filled = path
        for name, value in (("username", "a"), ("tag", "a"), ("user_id", "u_00000000000")):
            filled = filled.replace(f"{{{name}}}", value)
        filled = filled.replace("{comment_id}", "cm_00000000000")
        filled = filled.replace("{photo_id}", "ph_00000000000")
        filled = filled.replace("{post_id}", "ph_00000000000")
        for headers in ({}, {"Authorization": "Bearer forged.token.here"}):
            answer = await world.call(method.upper(), filled, json={}, headers=headers)
            assert answer.status_code == 401, (method, path)
            is_problem(answer, 401, "unauthenticated")


async def test_the_description_says_the_same(app: FastAPI) -> None:
    document = app.openapi()
    for method, path in operations(app):
        secured = bool(document["paths"][path][method].get("security"))
        assert secured is ((method, path) not in OPEN), (method, path)


@dataclass(frozen=True)
class Owned:
    """Something of Ann's on Bob's post, and what calls on it look like."""

    photo: Photo
    comment: Comment


@pytest.fixture
async def owned(world: World) -> tuple[Someone, Someone, Someone, Owned]:
    ann, bob, eve = [await world.someone() for _ in range(3)]
    post = await world.post(bob)
    comment = Comment(fresh_id("cm_"), post.photo_id, ann.user_id, "hello", now_ms())
    await world.stores.reactions.set_comment(comment, 1)
    return ann, bob, eve, Owned(await world.awaited(ann), comment)


async def test_a_stranger_gets_no_hold_of_an_upload(
    world: World, owned: tuple[Someone, Someone, Someone, Owned]
) -> None:
    _, _, eve, things = owned
    photo_id = things.photo.photo_id
    unknown = await world.call("GET", "/photos/ph_00000000000/status", eve)
    for method, path in (("GET", "status"), ("GET", "status?wait=8"), ("POST", "complete")):
        answer = await world.call(method, f"/photos/{photo_id}/{path}", eve)
        is_problem(answer, 404, "not-found")
        assert answer.content == unknown.content, "must not tell that it exists"
    stored = await world.stores.photos.get(photo_id)
    assert stored is not None
    assert stored.status is PhotoStatus.AWAITING_UPLOAD


async def test_a_stranger_takes_no_comment_away(
    world: World, owned: tuple[Someone, Someone, Someone, Owned]
) -> None:
    _, _, eve, things = owned
    path = f"/comments/{things.comment.comment_id}"
    is_problem(await world.call("DELETE", path, eve), 403, "forbidden")
    stored = await world.stores.reactions.get_comment(
        things.comment.post_id, things.comment.comment_id
    )
    assert stored is not None
    assert not stored.deleted


@pytest.mark.parametrize("who", [0, 1], ids=["its writer", "the post's author"])
async def test_writer_and_author_may_take_a_comment_away(
    world: World, owned: tuple[Someone, Someone, Someone, Owned], who: int
) -> None:
    remover, things = owned[who], owned[3]
    assert isinstance(remover, Someone)
    path = f"/comments/{things.comment.comment_id}"
    assert (await world.call("DELETE", path, remover)).status_code == 204
    assert (await world.call("DELETE", path, remover)).status_code == 204
    is_problem(await world.call("DELETE", path, owned[2]), 404, "not-found")


async def test_nobody_sees_or_reads_away_anothers_notifications(world: World) -> None:
    ann, eve = await world.someone(), await world.someone()
    notice = fresh_id("nt_")
    await world.stores.notifications.add(
        Notification(notice, ann.user_id, "follow", eve.user_id, None, now_ms())
    )
    await world.call("POST", "/notifications/read", eve, json={"up_to": notice})
    assert (await world.call("GET", "/notifications", eve)).json()["notifications"] == []
    assert (await world.call("GET", "/notifications", ann)).json()["unread_count"] == 1


async def test_an_edit_is_the_editors_alone(world: World) -> None:
    ann, eve = await world.someone(), await world.someone()
    body: dict[str, Any] = {"bio": "eve was here", "user_id": ann.user_id}
    await world.call("PATCH", "/users/me", eve, json=body)
    profile = (await world.call("GET", f"/users/{ann.user_id}", eve)).json()
    assert profile["bio"] == ""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/explore"),
        ("GET", "/search?q=a"),
        ("GET", "/suggestions"),
        ("POST", "/devices"),
        ("GET", "/notifications/preferences"),
        ("GET", "/metrics"),
    ],
)
async def test_what_is_not_whole_is_not_there(world: World, method: str, path: str) -> None:
    ann = await world.someone()
    is_problem(await world.call(method, path, ann), 404, "not-found")
