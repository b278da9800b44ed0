"""Celebrities: the twin and PostgreSQL keep the same promises (I10)."""

import asyncio

import pytest

from domain.ports.graph import Celebrities
from stores.memory.postgres import MemoryCelebrities
from stores.postgres_celebrities import PostgresCelebrities
from stores.postgres_pool import PostgresPool
from tests.fresh import fresh_id


@pytest.fixture(params=["memory", "postgres"])
def celebrities(request: pytest.FixtureRequest, postgres: PostgresPool) -> Celebrities:
    return MemoryCelebrities() if request.param == "memory" else PostgresCelebrities(postgres)


async def test_the_flag_is_set_once_and_keeps_its_first_facts(celebrities: Celebrities) -> None:
    star = fresh_id("u_")
    assert not await celebrities.is_flagged(star)
    await celebrities.flag(star, 10_000, 5)
    await celebrities.flag(star, 12, 6)
    assert await celebrities.is_flagged(star)
    assert (star, 10_000, 5) in await celebrities.flagged()


async def test_only_clearing_takes_it_away(celebrities: Celebrities) -> None:
    star = fresh_id("u_")
    await celebrities.flag(star, 10_000, 5)
    assert await celebrities.clear(star)
    assert not await celebrities.clear(star)
    assert not await celebrities.is_flagged(star)
    assert star not in [user_id for user_id, _, _ in await celebrities.flagged()]


async def test_pulling_begins_once_and_never_ends(celebrities: Celebrities) -> None:
    star, other, first = fresh_id("u_"), fresh_id("u_"), fresh_id("ph_")
    assert await celebrities.pulled_among([star]) == []
    tells = await asyncio.gather(*(celebrities.start_pulling(star, first) for _ in range(4)))
    assert tells == [True] * 4
    await celebrities.flag(star, 10_000, 5)
    await celebrities.clear(star)
    assert await celebrities.pulled_among([other, star]) == [star]
    assert await celebrities.pulled_among([]) == []


async def test_one_post_tells_of_pulling_and_tells_again(celebrities: Celebrities) -> None:
    star, (first, second, third) = fresh_id("u_"), [fresh_id("ph_") for _ in range(3)]
    for post in (first, second, first):
        assert await celebrities.start_pulling(star, post), "none has told yet"
    await celebrities.pulling_told(star, second)
    await celebrities.pulling_told(star, first)
    tells = [await celebrities.start_pulling(star, post) for post in (first, second, third)]
    assert tells == [False, True, False]


async def test_whose_marks_failed_has_told_nobody_unless_another_post_did(
    celebrities: Celebrities,
) -> None:
    star, (first, second, third) = fresh_id("u_"), [fresh_id("ph_") for _ in range(3)]
    await celebrities.pulling_untold(star, first)
    await celebrities.start_pulling(star, first)
    await celebrities.pulling_told(star, first)
    await celebrities.pulling_untold(star, first)
    assert await celebrities.start_pulling(star, second)
    await celebrities.pulling_told(star, second)
    await celebrities.pulling_untold(star, first)
    tells = [await celebrities.start_pulling(star, post) for post in (first, second, third)]
    assert tells == [False, True, False]


async def test_pulled_authors_are_sorted(celebrities: Celebrities) -> None:
    stars = [fresh_id("u_") for _ in range(3)]
    for star in stars:
        await celebrities.start_pulling(star, fresh_id("ph_"))
    assert await celebrities.pulled_among(stars[::-1]) == sorted(stars)


async def test_the_threshold_is_what_was_set_last(celebrities: Celebrities) -> None:
    assert await celebrities.threshold() is None
    await celebrities.set_threshold(500)
    await celebrities.set_threshold(700)
    assert await celebrities.threshold() == 700
