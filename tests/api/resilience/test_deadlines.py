"""Time limits that share a timer: each holds by itself, as asyncio.timeout's do."""

import asyncio

import pytest

from api.resilience.deadlines import Deadlines


async def test_who_is_late_is_stopped_and_nobody_else() -> None:
    deadlines = Deadlines()

    async def answer(after_s: float) -> float:
        await asyncio.sleep(after_s)
        return after_s

    waits = [deadlines.run(0.1, answer, after_s) for after_s in (0.0, 60.0, 0.01, 60.0)]
    found = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 10)
    assert [type(each) for each in found] == [float, TimeoutError, float, TimeoutError]


async def test_limits_hold_for_those_who_come_while_others_wait() -> None:
    deadlines, loop = Deadlines(), asyncio.get_running_loop()
    began = loop.time()

    async def late(after_s: float) -> float:
        await asyncio.sleep(after_s)
        with pytest.raises(TimeoutError):
            await deadlines.run(0.2, asyncio.sleep, 60)
        return loop.time() - began - after_s

    for waited in await asyncio.wait_for(asyncio.gather(*map(late, (0.0, 0.1, 0.15))), 10):
        assert waited >= 0.2


async def test_somebody_elses_cancellation_stays_one() -> None:
    task = asyncio.create_task(Deadlines().run(60, asyncio.sleep, 60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_passes_and_leaves_no_cancellation_behind() -> None:
    deadlines = Deadlines()

    async def fail() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await deadlines.run(0.05, fail)
    await asyncio.sleep(0.1)  # past the limit of what has ended
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_after_a_time_out_the_task_goes_on() -> None:
    deadlines = Deadlines()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            await deadlines.run(0.02, asyncio.sleep, 60)
    assert await deadlines.run(5, asyncio.sleep, 0, "whole") == "whole"
