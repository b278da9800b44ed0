"""Circuit breakers: who is asked, by how many at a time, and what counts."""

import asyncio

import pytest

from api.resilience import breakers
from api.resilience.breakers import Breaker, State
from domain.errors import StoreAway, Transient
from domain.settings import Degradation

QUICK = Degradation(failures=3, pause_s=0.05)


class Store:
    """Answers, fails or hangs as it is told, and counts who asks, and how many at once."""

    def __init__(self) -> None:
        self.mood: str | Exception = "well"
        self.asked = self.inside = self.most_inside = 0
        self.wakes = asyncio.Event()

    async def get(self, key: str) -> str:
        self.asked += 1
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        try:
            if isinstance(self.mood, Exception):
                raise self.mood
            if self.mood == "hangs":
                await self.wakes.wait()
            await asyncio.sleep(0)
            return key
        finally:
            self.inside -= 1


async def fails(breaker: Breaker, store: Store, times: int) -> None:
    for _ in range(times):
        with pytest.raises(StoreAway):
            await breaker.run(store.get, "a")


async def given_up() -> tuple[Breaker, Store]:
    """A breaker that has just opened, and its dead store."""
    breaker, store = Breaker("redis", QUICK), Store()
    store.mood = StoreAway("gone fishing")
    await fails(breaker, store, QUICK.failures)
    assert breaker.state is State.OPEN
    store.asked = store.most_inside = 0
    return breaker, store


def closed(breaker: Breaker) -> bool:
    return breaker.state is State.CLOSED


async def half_open(breaker: Breaker) -> None:
    async with asyncio.timeout(5):
        while breaker.state is not State.HALF_OPEN:  # noqa: ASYNC110 - time alone turns it
            await asyncio.sleep(0.005)


async def test_some_failures_in_a_row_and_it_is_not_asked() -> None:
    breaker, store = await given_up()
    await fails(breaker, store, 10)
    assert store.asked == 0


async def test_time_outs_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "STORE_LIMIT_S", 0.01)
    breaker, store = Breaker("redis", QUICK), Store()
    store.mood = "hangs"
    await fails(breaker, store, QUICK.failures)
    assert breaker.state is State.OPEN


async def test_an_answer_in_between_and_counting_starts_over() -> None:
    breaker, store = Breaker("redis", QUICK), Store()
    for _ in range(4):
        store.mood = StoreAway("gone fishing")
        await fails(breaker, store, QUICK.failures - 1)
        store.mood = "well"
        assert await breaker.run(store.get, "a") == "a"
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("error", [Transient("busy"), KeyError("a bug"), asyncio.CancelledError()])
async def test_other_ends_say_nothing_about_the_store(error: BaseException) -> None:
    breaker, store = Breaker("redis", QUICK), Store()
    store.mood = StoreAway("gone fishing")
    await fails(breaker, store, QUICK.failures - 1)

    async def end(_: str) -> None:
        raise error

    for _ in range(QUICK.failures):
        with pytest.raises(type(error)):
            await breaker.run(end, "a")
    assert closed(breaker)
    await fails(breaker, store, 1)
    assert breaker.state is State.OPEN, "nor did they begin the count anew"


async def test_one_at_a_time_finds_out_whether_it_is_back() -> None:
    breaker, store = await given_up()
    store.mood = "hangs"
    await half_open(breaker)
    calls = [asyncio.create_task(breaker.run(store.get, str(n))) for n in range(50)]
    await asyncio.sleep(0.01)
    assert store.asked == 1
    store.wakes.set()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [end for end in ends if isinstance(end, str)] == ["0"]
    assert breaker.state is State.CLOSED
    assert store.most_inside == 1


async def test_one_that_finds_nobody_opens_it_again() -> None:
    breaker, store = await given_up()
    await half_open(breaker)
    await fails(breaker, store, 20)
    assert store.asked == 1
    assert breaker.state is State.OPEN


async def test_who_finds_out_waits_a_short_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "PROBE_LIMIT_S", 0.01)
    breaker, store = await given_up()
    store.mood = "hangs"
    await half_open(breaker)
    async with asyncio.timeout(breakers.STORE_LIMIT_S / 2):
        await fails(breaker, store, 1)


async def test_one_that_goes_away_while_finding_out_leaves_it_to_the_next() -> None:
    breaker, store = await given_up()
    store.mood = "hangs"
    await half_open(breaker)
    gone = asyncio.create_task(breaker.run(store.get, "a"))
    await asyncio.sleep(0.01)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    store.mood = "well"
    assert await breaker.run(store.get, "b") == "b"
    assert breaker.state is State.CLOSED


async def test_time_outs_of_before_do_not_open_what_was_closed_since() -> None:
    breaker, dead, well = Breaker("redis", QUICK), Store(), Store()
    release = asyncio.Event()

    async def late(_: str) -> str:
        await release.wait()
        raise StoreAway("gone fishing")

    old = [asyncio.create_task(breaker.run(late, "a")) for _ in range(3 * QUICK.failures)]
    await asyncio.sleep(0)
    dead.mood = StoreAway("gone fishing")
    await fails(breaker, dead, QUICK.failures)
    await half_open(breaker)
    assert await breaker.run(well.get, "a") == "a"
    release.set()
    await asyncio.gather(*old, return_exceptions=True)
    assert breaker.state is State.CLOSED


async def test_many_processes_do_not_ask_again_at_the_same_moment() -> None:
    patient = Degradation(failures=1, pause_s=0.2)
    fleet = [Breaker("redis", patient) for _ in range(20)]
    store = Store()
    store.mood = StoreAway("gone fishing")
    for breaker in fleet:
        await fails(breaker, store, 1)
    looks: list[int] = []
    while not looks or looks[-1] < len(fleet):
        await asyncio.sleep(0.01)
        looks.append(sum(breaker.state is State.HALF_OPEN for breaker in fleet))
    assert len(set(looks) - {0}) > 3, "they came back all together"
