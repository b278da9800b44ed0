"""The runner's promises, without a broker."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Reason, StoreAway, Transient, Unrecoverable
from domain.ids import derived
from domain.settings import Retries
from schemas.events import FanoutChunk, NotificationRequested
from stores.memory.kafka import MemoryEventLog, MemoryRecord
from streams.runtime import dead_letters
from streams.runtime.flood import ENOUGH, Flooded
from streams.runtime.runner import StageRunner
from streams.runtime.stage import Emit, Stage
from tests.fresh import fresh_id
from topics import catalog as t
from topics.record import Headers, Record

QUICK = Retries(tries=3, rounds=2, base_s=0.001, cap_s=0.002, round_delay_s=1.0, away_limit_s=0.05)
PATIENT = QUICK.model_copy(update={"away_limit_s": 30.0})
NOW = 1_790_000_000_000
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Body = Callable[[FanoutChunk], Awaitable[Sequence[Emit]]]
NAMES = st.sampled_from(["traceparent", "own", "failure-source-topic", "failure-rounds"])


class Scene:
    """A stage with a handler of one's choice, and what it wrote."""

    def __init__(self, body: Body, retries: Retries = QUICK) -> None:
        self.calls: list[FanoutChunk] = []
        self.log = MemoryEventLog()
        self.now = NOW

        async def handler(event: FanoutChunk) -> Sequence[Emit]:
            self.calls.append(event)
            return await body(event)

        self.stage = Stage(
            "toy", (t.FANOUT_CHUNK,), (t.NOTIFICATION_REQUESTED,), lambda *_: handler
        )
        self.runner = StageRunner(self.stage, handler, self.log, retries, lambda: self.now)

    def written(self, topic: str) -> list[MemoryRecord]:
        return [record for record in self.log.records if record.topic == topic]

    def again(self, at: int = 0) -> Record:
        """A record of the retry topic, as it would be read back."""
        kept = self.written("toy.retry")[at]
        return Record(
            "toy.retry", 3, 77, kept.key, kept.value, kept.headers, kept.timestamp_ms or 0
        )


def chunk() -> FanoutChunk:
    return FanoutChunk(
        event_id=fresh_id(),
        occurred_at=NOW,
        version=4,
        post_id="ph_1",
        user_id="u_1",
        published_at=NOW,
        chunk_no=0,
        after_id="",
        upto_id="u_9",
    )


def record(value: bytes | None = None, headers: Headers = (("traceparent", TRACE),)) -> Record:
    body = t.FANOUT_CHUNK.codec.encode(chunk()) if value is None else value
    return Record("fanout.chunk", 5, 1234, b"ph_1:0", body, headers, NOW - 250)


def failing(error: Exception, times: int = 10**9) -> Body:
    left = [times]

    async def body(_: FanoutChunk) -> Sequence[Emit]:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return ()

    return body


async def emitting(event: FanoutChunk) -> Sequence[Emit]:
    ring = NotificationRequested(
        event_id=derived(event.event_id, "toy"),
        occurred_at=event.occurred_at,
        version=event.version,
        notification_id="nt_1",
        user_id="u_2",
        type="post",
        actor_id="u_1",
    )
    return [Emit(t.NOTIFICATION_REQUESTED, ring)]


def failure(kept: MemoryRecord) -> dead_letters.Failure:
    told = dead_letters.read(kept.headers)
    assert told is not None
    return told


async def test_what_is_emitted_is_published_in_the_same_trace() -> None:
    scene = Scene(emitting)
    await scene.runner.process(record())
    [ring] = scene.written("notification.requested")
    [(name, value)] = ring.headers
    assert name == "traceparent"
    assert value.split(b"-")[1] == TRACE.split(b"-")[1]
    assert value.split(b"-")[2] != TRACE.split(b"-")[2]


@pytest.mark.parametrize("given", [b"", b"nonsense", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"])
async def test_a_missing_or_invalid_trace_begins_anew(given: bytes) -> None:
    scene = Scene(emitting)
    await scene.runner.process(record(headers=(("traceparent", given),) if given else ()))
    [(_, value)] = scene.written("notification.requested")[0].headers
    assert re.fullmatch(rb"00-(?!0{32})[0-9a-f]{32}-[0-9a-f]{16}-01", value)


async def test_an_event_handled_twice_emits_the_same_bytes() -> None:
    scene = Scene(emitting)
    same = record()
    await scene.runner.process(same)
    await scene.runner.process(same)
    first, second = scene.written("notification.requested")
    assert (first.key, first.value) == (second.key, second.value)


async def test_undecodable_bytes_are_kept_byte_for_byte_and_the_handler_not_called() -> None:
    scene = Scene(emitting)
    bad = record(b"\x00\x00\x00\x00\x01junk", (("own", b"\xff"), ("own", b"\x00")))
    await scene.runner.process(bad)
    assert scene.calls == []
    [kept] = scene.written("toy.dlq")
    assert (kept.key, kept.value, kept.timestamp_ms) == (bad.key, bad.value, bad.timestamp_ms)
    assert dead_letters.original(kept.topic, kept.headers) == bad.headers
    told = failure(kept)
    assert (told.source_topic, told.source_partition, told.source_offset) == (
        "fanout.chunk",
        5,
        1234,
    )
    assert (told.reason, told.group, told.stage, told.attempts) == ("bad_avro", "toy", "toy", 1)
    assert (told.first_at, told.last_at) == (NOW, NOW)
    assert told.message
    assert re.fullmatch("[0-9a-f]{16}", told.stack_digest)


@settings(max_examples=200, deadline=None)
@given(
    key=st.none() | st.binary(max_size=9),
    value=st.none() | st.binary(max_size=9) | st.just(t.FANOUT_CHUNK.codec.encode(chunk())),
    headers=st.lists(st.tuples(NAMES, st.none() | st.binary(max_size=9)), max_size=4),
    at=st.integers(1, NOW),
)
async def test_whatever_cannot_be_handled_ends_in_the_dead_letters_as_it_came(
    key: bytes | None, value: bytes | None, headers: list[Any], at: int
) -> None:
    """Also what has no key, no value, empty headers, or our own names; and after retries."""
    scene = Scene(failing(Transient("hiccup")), QUICK.model_copy(update={"tries": 1}))
    await scene.runner.process(Record("fanout.chunk", 5, 1234, key, value, tuple(headers), at))
    turn = 0
    while not scene.written("toy.dlq"):
        await scene.runner.process(scene.again(turn))
        turn += 1
    [kept] = scene.written("toy.dlq")
    assert (kept.key, kept.value, kept.timestamp_ms) == (key, value, at)
    assert dead_letters.original(kept.topic, kept.headers) == tuple(headers)
    assert failure(kept).source_offset == 1234


async def test_a_producers_own_headers_stay_whatever_their_names() -> None:
    scene = Scene(failing(Transient("hiccup")))
    foreign = (("failure-source-topic", b"theirs"), ("failure-rounds", b"1"), ("own", b""))
    await scene.runner.process(record(headers=foreign))
    for turn in range(2):
        scene.now += 5
        await scene.runner.process(scene.again(turn))
    [kept] = scene.written("toy.dlq")
    assert dead_letters.original(kept.topic, kept.headers) == foreign
    assert (failure(kept).source_topic, failure(kept).rounds) == ("fanout.chunk", 2)


async def test_trouble_that_passes_within_the_tries_leaves_no_trace() -> None:
    scene = Scene(failing(Transient("hiccup"), times=2))
    await scene.runner.process(record())
    assert len(scene.calls) == 3
    assert scene.written("toy.retry") == scene.written("toy.dlq") == []


async def test_trouble_that_stays_goes_through_the_retry_topic_to_the_dead_letters() -> None:
    scene = Scene(failing(Transient("hiccup")))
    source = record()
    await scene.runner.process(source)
    await scene.runner.process(scene.again(0))
    assert scene.written("toy.dlq") == []
    scene.now += 5
    await scene.runner.process(scene.again(1))
    [kept] = scene.written("toy.dlq")
    told = failure(kept)
    assert len(scene.calls) == told.attempts == 9
    assert (told.reason, told.rounds) == ("retries_exhausted", 2)
    assert (told.source_topic, told.source_partition, told.source_offset) == (
        "fanout.chunk",
        5,
        1234,
    )
    assert (told.first_at, told.last_at) == (NOW, NOW + 5)
    assert (kept.value, kept.timestamp_ms) == (source.value, source.timestamp_ms)
    assert dead_letters.original(kept.topic, kept.headers) == source.headers


async def test_a_retry_waits_for_its_time_but_never_longer_than_a_round() -> None:
    scene = Scene(failing(Transient("hiccup")))
    await scene.runner.process(record())
    assert 0.8 <= scene.runner.wait_s(scene.again()) <= 1.0
    scene.now -= 3_600_000  # a clock that was set back
    assert scene.runner.wait_s(scene.again()) == 1.0
    assert scene.runner.wait_s(record()) == 0.0


async def test_an_absent_server_burns_no_tries() -> None:
    scene = Scene(failing(StoreAway("redis"), times=8), PATIENT)
    await scene.runner.process(record())
    assert len(scene.calls) == 9
    assert scene.written("toy.retry") == scene.written("toy.dlq") == []


async def test_a_server_that_stays_away_stops_the_worker() -> None:
    scene = Scene(failing(StoreAway("redis")))
    with pytest.raises(StoreAway):
        await scene.runner.process(record())
    assert scene.written("toy.retry") == scene.written("toy.dlq") == []


async def test_what_can_never_work_is_a_dead_letter_at_once() -> None:
    scene = Scene(failing(Unrecoverable(Reason.UNKNOWN_POST, "ph_1")))
    await scene.runner.process(record())
    assert len(scene.calls) == 1
    assert failure(scene.written("toy.dlq")[0]).reason == "unknown_post"


async def test_the_unforeseen_stops_the_worker_and_writes_nothing() -> None:
    scene = Scene(failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        await scene.runner.process(record())
    assert scene.log.records == []


def absent_twice(publish: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A broker that comes back at the third call."""
    left = [2]

    async def sometimes(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise StoreAway("kafka")
        await publish(*arguments)

    return sometimes


async def test_an_absent_broker_while_emitting_is_waited_for() -> None:
    scene = Scene(emitting, PATIENT)
    scene.log.publish = absent_twice(scene.log.publish)  # type: ignore[assignment,method-assign] # a broker that comes back
    await scene.runner.process(record())
    assert len(scene.written("notification.requested")) == 1


async def test_an_absent_broker_while_a_dead_letter_is_written_is_waited_for() -> None:
    scene = Scene(emitting, PATIENT)
    scene.log.publish_raw = absent_twice(scene.log.publish_raw)  # type: ignore[assignment,method-assign] # a broker that comes back
    await scene.runner.process(record(b"junk"))
    assert len(scene.written("toy.dlq")) == 1


async def test_a_flood_of_dead_letters_stops_the_stage_before_the_next_one_is_written() -> None:
    scene = Scene(failing(Unrecoverable(Reason.UNKNOWN_POST)))
    for _ in range(ENOUGH):
        await scene.runner.process(record())
    with pytest.raises(Flooded):
        await scene.runner.process(record())
    assert len(scene.written("toy.dlq")) == ENOUGH


async def test_many_dead_letters_among_more_good_events_are_no_flood() -> None:
    scene = Scene(emitting)
    for _ in range(ENOUGH + 20):
        await scene.runner.process(record())
        await scene.runner.process(record(b"junk"))
    assert len(scene.written("toy.dlq")) == ENOUGH + 20


async def test_a_minute_later_a_flood_is_forgotten() -> None:
    scene = Scene(emitting)
    for _ in range(3):
        for _ in range(ENOUGH):
            await scene.runner.process(record(b"junk"))
        scene.now += 60_000
    assert len(scene.written("toy.dlq")) == 3 * ENOUGH


async def test_a_retry_record_without_our_headers_is_a_dead_letter_of_the_retry_topic() -> None:
    scene = Scene(emitting)
    await scene.runner.process(replace(record(), topic="toy.retry"))
    told = failure(scene.written("toy.dlq")[0])
    assert (told.source_topic, told.reason) == ("toy.retry", "bad_avro")


async def test_what_a_stage_did_to_a_photo_is_traced() -> None:
    scene = Scene(emitting)
    await scene.runner.process(record())
    for _ in range(5):
        await asyncio.sleep(0)
    [line] = scene.log.events(t.STAGE_TRACED)
    assert (line.photo_id, line.stage, line.outcome) == ("ph_1", "toy", "done")
    assert (line.topic, line.partition, line.offset) == ("fanout.chunk", 5, 1234)
    assert (line.wait_ms, line.work_ms) == (250, 0)


class Concluding:
    """A handler that notes what was written when it concludes."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log
        self.written: list[int] = []

    async def __call__(self, event: FanoutChunk) -> Sequence[Emit]:
        return [*await emitting(event), *await emitting(event)]

    async def conclude(self, event: FanoutChunk, emits: Sequence[Emit]) -> None:
        assert event.post_id == "ph_1"
        assert len(emits) == 2
        self.written.append(len(self._log.records))


@pytest.mark.parametrize("refused", [0, 1, 10**9])
async def test_a_handler_concludes_once_kafka_has_all_that_it_emitted(refused: int) -> None:
    log, left = MemoryEventLog(), [refused]
    handler, publish = Concluding(log), log.publish

    async def sometimes(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise Transient("no")
        await publish(*arguments)

    log.publish = sometimes  # type: ignore[assignment,method-assign] # a broker that refuses
    stage = Stage("toy", (t.FANOUT_CHUNK,), (t.NOTIFICATION_REQUESTED,), lambda *_: handler)
    await StageRunner(stage, handler, log, QUICK).process(record())
    assert handler.written == {0: [2], 1: [3], 10**9: []}[refused]
