"""Webhooks: the twin and PostgreSQL keep the same promises."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from domain.ports.webhooks import Webhooks
from domain.webhooks import Webhook
from stores.memory.webhooks import MemoryWebhooks
from stores.postgres_pool import PostgresPool
from stores.postgres_users import PostgresUsers
from stores.postgres_webhooks import PostgresWebhooks
from stores.sealed import Seal
from tests.fresh import fresh_id
from tests.people import add_people

KEY = SecretStr("a key of the stack")


@pytest.fixture(params=["memory", "postgres"])
def webhooks(request: pytest.FixtureRequest, postgres: PostgresPool) -> Webhooks:
    if request.param == "memory":
        return MemoryWebhooks()
    return PostgresWebhooks(postgres, Seal(KEY, "test"))


@pytest.fixture
async def hook(postgres: PostgresPool) -> Webhook:
    [user_id] = await add_people(PostgresUsers(postgres), 1)
    return Webhook(user_id, "https://a.example/", "secret-of-16-and-more", 7)


async def test_there_is_one_a_user_and_it_is_kept_whole(webhooks: Webhooks, hook: Webhook) -> None:
    assert await webhooks.get(hook.user_id) is None
    for each in (hook, hook, replace(hook, url="https://b.example/", secret="x" * 16, set_at=8)):
        assert await webhooks.put(each)
        assert await webhooks.get(hook.user_id) == each
    for _ in range(2):
        await webhooks.drop(hook.user_id)
        assert await webhooks.get(hook.user_id) is None


async def test_what_calls_came_to_is_kept_until_it_is_set_anew(
    webhooks: Webhooks, hook: Webhook
) -> None:
    await webhooks.put(hook)
    failed = hook.failed("why", 20, 0)
    for _ in range(2):
        await webhooks.note(failed)
        assert await webhooks.get(hook.user_id) == failed
    anew = replace(hook, set_at=30)
    await webhooks.put(anew)
    await webhooks.note(failed)
    assert await webhooks.get(hook.user_id) == anew


async def test_nothing_is_noted_of_one_that_is_gone(webhooks: Webhooks, hook: Webhook) -> None:
    await webhooks.note(hook.failed("why", 20, 60))
    assert await webhooks.get(hook.user_id) is None


async def test_an_account_that_is_gone_gets_none(postgres: PostgresPool, hook: Webhook) -> None:
    store = PostgresWebhooks(postgres, Seal(KEY, "test"))
    assert not await store.put(replace(hook, user_id=fresh_id("u_")))


async def test_secrets_are_encrypted_for_their_owner(postgres: PostgresPool, hook: Webhook) -> None:
    store = PostgresWebhooks(postgres, Seal(KEY, "test"))
    await store.put(hook)
    query = "SELECT secret FROM webhooks WHERE user_id = %s"
    [(sealed,)] = await postgres.tuples(query, (hook.user_id,))
    assert hook.secret.encode() not in sealed
    assert Seal(KEY, "test").open(sealed, hook.user_id) == hook.secret
    assert Seal(KEY, "test").open(sealed, "u_other") is None
    assert Seal(KEY, "another purpose").open(sealed, hook.user_id) is None
    other = PostgresWebhooks(postgres, Seal(SecretStr("another key"), "test"))
    assert await other.get(hook.user_id) is None
