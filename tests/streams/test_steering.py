"""Writers measure, the threshold follows, and plan_fan_out goes by it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from domain.errors import StoreAway
from domain.settings import Feed
from domain.threshold import Move, Why, WriterLoad
from schemas.events import FanoutChunk
from stores.memory.postgres import MemoryCelebrities, MemoryPushLimit
from streams.delivery import LiveThreshold
from streams.plan_fan_out import PlanFanOut
from streams.steering import Meter, Steering
from streams.write_feeds import WriteFeeds
from tests.feed_world import World, photo, published

LOWEST, CEILING, FRESH_S = 100, 1_000, 30.0


class FlakyLimit(MemoryPushLimit):
    """Away the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.reported = asyncio.Event()

    async def report(self, writer: str, load: WriterLoad, now: int) -> None:
        """Raises StoreAway once."""
        if not self.failed:
            self.failed = True
            raise StoreAway(writer)
        await super().report(writer, load, now)
        self.reported.set()


class Time:
    """Both clocks of a process, moved by hand."""

    def __init__(self) -> None:
        self.ms = 2_000_000_000_000

    def wall(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def passes(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def chunk(time: Time, age_s: float = 0.0, *, number: int = 0, mark: bool = False) -> FanoutChunk:
    """A chunk of a post of that age."""
    return FanoutChunk(
        event_id=f"e.chunk{number}",
        occurred_at=time.ms,
        version=1,
        post_id="ph_1",
        user_id="u_1",
        published_at=time.ms - round(age_s * 1000),
        chunk_no=number,
        after_id="",
        upto_id="u_9",
        mark=mark,
    )


def meter_of(time: Time) -> Meter:
    return Meter(time.wall, time.monotonic)


async def write(
    meter: Meter, time: Time, age_s: float, feeds: int = 10, takes_s: float = 0.0
) -> None:
    async with meter.writing(chunk(time, age_s), feeds):
        time.passes(takes_s)


def steering_of(time: Time, limit: MemoryPushLimit, fresh_s: float = FRESH_S) -> Steering:
    ceiling = LiveThreshold(MemoryCelebrities(), CEILING)
    return Steering(limit, ceiling, LOWEST, fresh_s, time.wall)


async def test_the_worst_age_since_the_last_reading_counts() -> None:
    time = Time()
    meter = meter_of(time)
    for age_s in (2.0, 7.0, 1.0):
        await write(meter, time, age_s)
    assert meter.read() == WriterLoad(7.0, None)
    assert meter.read() == WriterLoad(0.0, None)


async def test_a_chunk_that_hangs_is_late_while_it_does() -> None:
    time = Time()
    meter = meter_of(time)
    async with meter.writing(chunk(time), 10):
        time.passes(20)
        assert meter.read() == WriterLoad(20.0, None)


async def test_replays_and_marks_are_not_late() -> None:
    time = Time()
    meter = meter_of(time)
    await write(meter, time, age_s=90_000.0)
    async with meter.writing(chunk(time, 9.0, mark=True), 10):
        pass
    assert meter.read().lag_s == 0.0


async def test_the_time_of_a_write_is_that_of_chunks_in_hand_side_by_side_once() -> None:
    time = Time()
    meter = meter_of(time)
    async with meter.writing(chunk(time), 1_500), meter.writing(chunk(time, number=1), 500):
        time.passes(4)
    time.passes(60)
    load = meter.read()
    assert load.write_s == pytest.approx(0.002)
    await write(meter, time, 0.0, feeds=10, takes_s=5)
    assert meter.read().write_s == load.write_s


async def test_late_posts_lower_the_threshold_and_it_is_told_why() -> None:
    time, limit = Time(), MemoryPushLimit()
    steering = steering_of(time, limit)
    steering.meter = meter_of(time)
    await write(steering.meter, time, 15.0)
    with capture_logs() as logs:
        made = await steering.round()
    assert made is not None
    assert (made.why, made.followers) == (Why.LATE, 700)
    [told] = logs
    assert (told["event"], told["was"], told["followers"]) == ("threshold.moved", 1_000, 700)
    assert (told["lag_s"], told["writers"]) == (15.0, 1)


async def test_it_waits_until_the_last_step_was_measured() -> None:
    time, limit = Time(), MemoryPushLimit()
    steering = steering_of(time, limit)
    for _ in range(3):
        await write(steering.meter, time, 15.0)
        await steering.round()
        time.passes(1)
    assert await limit.followers() == 700


async def test_the_next_step_comes_when_a_post_of_the_last_must_have_arrived() -> None:
    time, limit = Time(), MemoryPushLimit()
    steering = steering_of(time, limit, fresh_s=120.0)
    steering.meter = meter_of(time)
    for _ in range(4):  # one step, and no second before the two minutes are over
        await write(steering.meter, time, 60.0)
        await steering.round()
        time.passes(39)
    assert await limit.followers() == 700
    time.passes(3)
    await write(steering.meter, time, 60.0)
    await steering.round()
    assert await limit.followers() == 490


async def test_the_worst_writer_counts_whoever_asks() -> None:
    time, limit = Time(), MemoryPushLimit()
    await limit.report("another", WriterLoad(15.0, None), time.ms)
    await steering_of(time, limit).round()
    assert await limit.followers() == 700


async def test_idle_writers_let_it_rise_to_the_ceiling_again() -> None:
    time, limit = Time(), MemoryPushLimit()
    steering = steering_of(time, limit)
    await write(steering.meter, time, 15.0)
    for _ in range(12):
        await steering.round()
        time.passes(FRESH_S)
    assert await limit.followers() == CEILING


async def test_posts_are_decided_by_it_where_it_is_switched_on() -> None:
    for switched_on in (True, False):
        feed = Feed(celebrity_threshold=100, adaptive_threshold=switched_on, adaptive_min=1)
        world = await World(feed, 4).settle()
        author, *followers = world.people
        for follower in followers:
            await world.follows.follow(follower, author, "e", 0)
        await world.push_limit.step(0, 1, lambda _, __: Move(3, Why.LATE))
        post = photo(author, 1, 1)
        await world.photos.add(post)
        emits = await PlanFanOut(world, feed)(published(post))
        marks = [emit.event.mark for emit in emits if isinstance(emit.event, FanoutChunk)]
        assert marks == [switched_on]


async def test_a_writer_reports_in_the_background_and_outlives_a_store_that_is_away() -> None:
    time, limit = Time(), FlakyLimit()
    world = await World(Feed(), 1).settle()
    steers = steering_of(time, limit, fresh_s=0.003)
    writer = WriteFeeds(world.follows, world.timelines, world.celebrities, steers)
    await writer.prepare()
    async with asyncio.timeout(30):
        await limit.reported.wait()
    assert limit.failed
