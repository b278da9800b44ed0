"""Idempotency-Key: the first answer again, whatever happens to the calls."""

import asyncio

import pytest

from domain.secrets import Secrets
from domain.settings import Settings
from stores.connect import Stores
from tests.api.world import PASSWORD, World, is_problem
from tests.fresh import fresh_id

ANNOUNCED = {"filename": "a.jpg", "content_type": "image/jpeg", "size_bytes": 3}


def key(text: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": text or fresh_id()}


async def test_same_key_and_body_is_the_first_answer_again(world: World) -> None:
    ann, keyed = await world.someone(), key()
    first = await world.call("POST", "/photos", ann, json=ANNOUNCED, headers=keyed)
    again = await world.call("POST", "/photos", ann, json=ANNOUNCED, headers=keyed)
    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers


@pytest.mark.parametrize("path", ["/photos", "/notifications/read"])
async def test_same_key_with_another_call_is_refused(world: World, path: str) -> None:
    ann, keyed = await world.someone(), key()
    await world.call("POST", "/photos", ann, json=ANNOUNCED, headers=keyed)
    other = await world.call("POST", path, ann, json={**ANNOUNCED, "size_bytes": 4}, headers=keyed)
    is_problem(other, 422, "idempotency-key-reused")


async def test_a_key_is_its_users_own(world: World) -> None:
    ann, bob, keyed = await world.someone(), await world.someone(), key()
    first = await world.call("POST", "/photos", ann, json=ANNOUNCED, headers=keyed)
    other = await world.call("POST", "/photos", bob, json=ANNOUNCED, headers=keyed)
    assert other.status_code == 200
    assert first.json()["photo_id"] != other.json()["photo_id"]


async def test_refusals_are_answers_too(world: World) -> None:
    ann, keyed = await world.someone(), key()
    await world.call("POST", f"/follow/{ann.user_id}", ann, headers=keyed)
    answer = await world.call("POST", f"/follow/{ann.user_id}", ann, headers=keyed)
    is_problem(answer, 422, "self-follow")
    assert answer.headers["idempotency-replayed"] == "true"


async def test_an_answer_without_a_body_replays(world: World) -> None:
    ann, bob, keyed = await world.someone(), await world.someone(), key()
    post = await world.post(bob)
    made = await world.call("POST", f"/posts/{post.photo_id}/comments", ann, json={"text": "a"})
    path = f"/comments/{made.json()['comment_id']}"
    for _ in range(2):
        answer = await world.call("DELETE", path, ann, headers=keyed)
        assert (answer.status_code, answer.content) == (204, b"")


async def test_two_at_once_are_one(world: World) -> None:
    ann, bob, keyed = await world.someone(), await world.someone(), key()
    post = await world.post(bob)
    path = f"/posts/{post.photo_id}/comments"
    calls = [world.call("POST", path, ann, json={"text": "once"}, headers=keyed) for _ in range(4)]
    answers = await asyncio.gather(*calls)
    for answer in answers:
        if answer.status_code != 201:
            is_problem(answer, 409, "idempotency-key-in-use")
            assert answer.headers["retry-after"]
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert len((await world.call("GET", path, bob)).json()["comments"]) == 1


async def test_while_the_first_runs_others_wait(world: World) -> None:
    ann, keyed = await world.someone(), key()
    await world.call("POST", "/photos", ann, json=ANNOUNCED, headers=keyed)
    await world.stores.postgres.run(  # as if it were still running
        "UPDATE idempotency_keys SET status = 0 WHERE user_id = %s AND key = %s",
        (ann.user_id, keyed["Idempotency-Key"]),
    )
    answer = await world.call("POST", "/photos", ann, json=ANNOUNCED, headers=keyed)
    is_problem(answer, 409, "idempotency-key-in-use")
    assert answer.headers["retry-after"] == "1"


async def test_a_call_cut_off_by_a_crash_makes_no_second_comment(world: World) -> None:
    ann, bob, keyed = await world.someone(), await world.someone(), key()
    post = await world.post(bob)
    path = f"/posts/{post.photo_id}/comments"
    first = await world.call("POST", path, ann, json={"text": "once"}, headers=keyed)
    await world.stores.postgres.run(  # as if the process had died before it kept the answer
        "DELETE FROM idempotency_keys WHERE user_id = %s AND key = %s",
        (ann.user_id, keyed["Idempotency-Key"]),
    )
    again = await world.call("POST", path, ann, json={"text": "once"}, headers=keyed)
    assert again.status_code == 201
    assert first.json()["comment_id"] == again.json()["comment_id"]
    assert len((await world.call("GET", path, bob)).json()["comments"]) == 1


async def test_a_registration_cut_off_by_a_crash_succeeds_when_tried_again(world: World) -> None:
    keyed = key()
    body = {"username": "n" + fresh_id(), "password": PASSWORD}
    first = await world.call("POST", "/users", json=body, headers=keyed)
    await world.stores.postgres.run(
        "DELETE FROM idempotency_keys WHERE key = %s", (keyed["Idempotency-Key"],)
    )
    again = await world.call("POST", "/users", json=body, headers=keyed)
    assert again.status_code == 201
    assert again.json() == first.json()


async def test_what_failed_may_be_tried_again(
    world: World, settings: Settings, secrets: Secrets
) -> None:
    ann, bob, keyed = await world.someone(), await world.someone(), key()
    post = await world.post(bob)
    app = world.app
    closed = settings.model_copy(
        update={"ports": settings.ports.model_copy(update={"cassandra": 9})}
    )
    away = Stores(closed, secrets)
    whole = app.state.deps.stores.photos
    app.state.deps.stores.__dict__["photos"] = away.photos
    try:
        failed = await world.call("POST", f"/likes/{post.photo_id}", ann, headers=keyed)
        is_problem(failed, 503, "unavailable")
        assert failed.headers["retry-after"]
    finally:
        app.state.deps.stores.__dict__["photos"] = whole
        await away.close()
    assert (
        await world.call("POST", f"/likes/{post.photo_id}", ann, headers=keyed)
    ).status_code == 200


async def test_tokens_and_passwords_are_never_stored(world: World) -> None:
    keyed = key()
    body = {"username": "n" + fresh_id(), "password": PASSWORD}
    await world.call("POST", "/users", json=body, headers=keyed)
    token = await world.call("POST", "/auth/token", json=body, headers=key())
    assert token.status_code == 200
    rows = await world.stores.postgres.tuples(
        "SELECT fingerprint, convert_from(body, 'UTF8') FROM idempotency_keys"
    )
    text = repr(rows)
    assert PASSWORD not in text
    assert token.json()["access_token"] not in text


@pytest.mark.parametrize("bad", ["", " ", "a b", "x" * 256, "\x7f"])
async def test_a_bad_key_is_refused(world: World, bad: str) -> None:
    ann = await world.someone()
    answer = await world.call(
        "POST", "/photos", ann, json=ANNOUNCED, headers={"Idempotency-Key": bad}
    )
    is_problem(answer, 422, "validation")


async def test_safe_calls_take_no_notice_of_it(world: World) -> None:
    ann, keyed = await world.someone(), key()
    for _ in range(2):
        answer = await world.call("GET", "/feed", ann, headers=keyed)
        assert "idempotency-replayed" not in answer.headers
