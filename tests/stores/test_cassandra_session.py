"""The session: what it raises, what it shares, how it reads on past one page."""

import asyncio
import time

import pytest
from cassandra import InvalidRequest

from domain.errors import StoreAway, Transient
from stores.cassandra_session import CassandraSession
from stores.connect import Stores
from tests.fresh import fresh_id

READ = "SELECT release_version FROM system.local"


async def test_a_node_that_does_not_answer_is_away_for_all_who_wait_at_once() -> None:
    session = CassandraSession("127.0.0.1", 9)
    before = time.monotonic()
    answers = await asyncio.gather(
        *(session.execute(READ) for _ in range(20)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {StoreAway}
    with pytest.raises(StoreAway):  # asks again, rather than remember
        await session.execute(READ)
    assert time.monotonic() - before < 10
    await session.close()
    await session.close()


async def test_a_mistake_in_a_statement_is_no_trouble_of_the_store(stores: Stores) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await stores.cassandra.execute("SELECT nothing FROM photos")
    assert not isinstance(caught.value, Transient)


async def test_a_caller_who_gives_up_does_not_disturb_the_others(stores: Stores) -> None:
    host, port = stores.settings.address("cassandra").rsplit(":")
    session = CassandraSession(host, int(port))
    impatient = asyncio.create_task(session.execute(READ))
    patient = asyncio.create_task(session.execute(READ))
    await asyncio.sleep(0)  # both wait for the same connection
    impatient.cancel()
    assert await patient
    assert await session.execute(READ)
    await session.close()


async def test_all_pages_of_a_long_answer_are_read(stores: Stores) -> None:
    post_id, rows = fresh_id("ph_"), 5_100  # the driver fetches 5,000 at a time
    users = [fresh_id("u_") for _ in range(rows)]
    await stores.cassandra.execute_many(
        "INSERT INTO likes_by_post (post_id, user_id, liked) VALUES (?, ?, true) USING TIMESTAMP 1",
        [(post_id, user_id) for user_id in users],
    )
    assert await stores.reactions.likers(post_id) == sorted(users)


async def test_more_keys_than_one_read_takes(stores: Stores) -> None:
    posts = [fresh_id("ph_") for _ in range(60)]
    for post_id in posts[::2]:
        await stores.reactions.set_like(post_id, "u_00000000000", 1, liked=True)
    assert await stores.reactions.has_liked(posts, "u_00000000000") == set(posts[::2])
