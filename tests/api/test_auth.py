"""Tokens and passwords: what is let in, and what isn't."""

import base64
import hashlib
import json
import time
from typing import Any

import jwt
import pytest
from argon2 import extract_parameters
from pydantic import SecretStr

from api.auth import BadToken, Passwords, TokenBook
from api.problems import Problem
from domain.secrets import Secrets
from domain.settings import Settings, Tokens
from tests.api.world import PASSWORD, World, is_problem
from tests.fresh import fresh_id, now_ms


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    valid = {
        "iss": "photofeed",
        "aud": "photofeed-api",
        "sub": fresh_id("u_"),
        "iat": now,
        "exp": now + 60,
        "jti": "1",
        "roles": ["user"],
    }
    return {key: value for key, value in (valid | more).items() if value is not None}


def signed(secrets: Secrets, key: str | None = None, kid: str | None = None, **more: Any) -> str:
    ours = secrets.jwt_key.get_secret_value()
    headers = {"kid": kid or hashlib.sha256(ours.encode()).hexdigest()[:16]}
    return jwt.encode(claims(**more), key or ours, algorithm="HS256", headers=headers)


async def feed_status(world: World, token: str) -> int:
    answer = await world.call("GET", "/feed", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


async def test_a_token_of_ours_is_let_in(world: World, secrets: Secrets) -> None:
    assert await feed_status(world, signed(secrets)) == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "somebody"},
        {"aud": "another-api"},
        {"exp": int(time.time()) - 1},
        {"iat": int(time.time()) + 3600},
        {"kid": "0123456789abcdef"},
        {"key": "k" * 64},
        {"roles": []},
        {"roles": "user"},
        {"roles": ["operator"]},
        {"sub": "root"},
        *({name: None} for name in ("iss", "aud", "sub", "iat", "exp", "jti", "roles")),
    ],
    ids=str,
)
async def test_a_token_with_anything_wrong_is_refused(
    world: World, secrets: Secrets, wrong: dict[str, Any]
) -> None:
    assert await feed_status(world, signed(secrets, **wrong)) == 401


async def test_no_other_algorithm_is_taken(world: World, secrets: Secrets) -> None:
    key = secrets.jwt_key.get_secret_value()
    kid = hashlib.sha256(key.encode()).hexdigest()[:16]
    assert await feed_status(world, jwt.encode(claims(), key, "HS512", {"kid": kid})) == 401
    head = {"alg": "none", "typ": "JWT", "kid": kid}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in (head, claims())
    ]
    for alg in ("", parts[0], "x"):
        assert await feed_status(world, ".".join([*parts, alg])) == 401


async def test_a_changed_token_is_refused(world: World, secrets: Secrets) -> None:
    head, _, signature = signed(secrets).split(".")
    other = signed(secrets).split(".")[1]
    assert await feed_status(world, f"{head}.{other}.{signature}") == 401


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", "bearer x.y", "x" * 9000]
)
async def test_garbled_authorization_is_refused(world: World, header: str) -> None:
    answer = await world.call("GET", "/feed", headers={"Authorization": header})
    is_problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_token_dies_on_time_though_its_signature_is_remembered() -> None:
    book = TokenBook(Tokens(ttl_s=60), SecretStr("k" * 64))
    user_id, now = fresh_id("u_"), now_ms()
    token = book.issue(user_id, "1", now)
    assert book.viewer(token, now) == user_id
    with pytest.raises(BadToken):
        book.viewer(token, now + 61_000)


async def test_unknown_user_and_wrong_password_answer_the_same(world: World) -> None:
    ann = await world.someone()
    wrong = {"username": ann.username, "password": "not it at all"}
    unknown = {"username": "nobody-" + fresh_id(), "password": "not it at all"}
    answers = [await world.call("POST", "/auth/token", json=body) for body in (wrong, unknown)]
    for answer in answers:
        is_problem(answer, 401, "bad-credentials")
    assert answers[0].content == answers[1].content


async def test_unknown_user_costs_the_same_work() -> None:
    passwords = Passwords()
    stored = await passwords.hash(PASSWORD)
    assert extract_parameters(passwords._nobody) == extract_parameters(stored)  # noqa: SLF001 - no other way to see it
    times: dict[bool, float] = {}
    for known in (True, False):
        runs = []
        for _ in range(5):
            started = time.perf_counter()
            assert not await passwords.matches("wrong", stored if known else None)
            runs.append(time.perf_counter() - started)
        times[known] = min(runs)
    assert 0.4 < times[True] / times[False] < 2.5
    passwords.close()


async def test_nobodys_password_opens_nothing() -> None:
    passwords = Passwords()
    assert not await passwords.matches("nobody's password", None)
    passwords.close()


async def test_a_flood_of_sign_ins_is_refused_not_queued() -> None:
    passwords = Passwords()
    passwords._waiting = 64  # noqa: SLF001 - a real flood would take the machine
    with pytest.raises(Problem) as refused:
        await passwords.hash(PASSWORD)
    assert refused.value.kind.status == 503
    passwords.close()


async def test_the_token_answer_is_never_cached(world: World, settings: Settings) -> None:
    ann = await world.someone()
    body = {"username": ann.username, "password": PASSWORD}
    answer = await world.call("POST", "/auth/token", json=body)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "bearer"  # noqa: S105 - a scheme
    assert answer.json()["expires_in"] == settings.tokens.ttl_s
