"""Users: the twin and PostgreSQL keep the same promises."""

from dataclasses import replace

import pytest

from domain.ports.accounts import Users
from stores.memory.postgres import MemoryUsers
from stores.postgres_pool import PostgresPool
from stores.postgres_users import PostgresUsers
from tests.fresh import fresh_id
from tests.people import person


@pytest.fixture(params=["memory", "postgres"])
def users(request: pytest.FixtureRequest, postgres: PostgresPool) -> Users:
    return MemoryUsers() if request.param == "memory" else PostgresUsers(postgres)


async def test_what_was_added_is_found_by_id_and_by_name(users: Users) -> None:
    ann = person()
    assert await users.add(ann, "hash")
    assert await users.get(ann.user_id) == ann
    assert await users.by_name(ann.username) == (ann, "hash")


async def test_a_name_is_taken_whatever_its_case(users: Users) -> None:
    ann = person()
    await users.add(ann, "hash")
    assert not await users.add(person(ann.username.upper()), "other")
    assert await users.by_name(ann.username.lower()) == (ann, "hash")


async def test_adding_twice_is_adding_once(users: Users) -> None:
    ann = person()
    assert await users.add(ann, "hash")
    assert await users.add(ann, "hash")
    assert not await users.add(replace(ann, user_id=fresh_id("u_")), "hash")


async def test_the_unknown_are_left_out(users: Users) -> None:
    ann, bob = person(), person()
    await users.add(ann, "hash")
    await users.add(bob, "hash")
    nobody = fresh_id("u_")
    found = await users.get_many([bob.user_id, nobody, ann.user_id])
    assert found == {ann.user_id: ann, bob.user_id: bob}
    assert await users.get(nobody) is None
    assert await users.by_name(nobody) is None
    assert await users.get_many([]) == {}


async def test_an_update_changes_only_what_is_given(users: Users) -> None:
    ann = person()
    await users.add(ann, "hash")
    renamed = await users.update(ann.user_id, display_name="Ann", bio="")
    assert renamed == replace(ann, display_name="Ann", bio="")
    pictured = await users.update(ann.user_id, avatar_photo_id="ph_x")
    assert pictured == replace(ann, display_name="Ann", bio="", avatar_photo_id="ph_x")
    assert await users.get(ann.user_id) == pictured
    assert await users.update(fresh_id("u_"), bio="x") is None


async def test_everyone_is_listed_in_order_a_few_at_a_time(users: Users) -> None:
    before = fresh_id("u_")
    made = [person() for _ in range(5)]
    for each in reversed(made):
        await users.add(each, "hash")
    ids = sorted(each.user_id for each in made)
    assert await users.ids_after(before, 3) == ids[:3]
    assert await users.ids_after(ids[2], 3) == ids[3:]
    assert await users.ids_after(ids[-1], 3) == []
