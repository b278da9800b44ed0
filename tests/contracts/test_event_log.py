"""EventLog: the twin and Kafka keep the same promises."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator

import pytest

from domain.errors import StoreAway, Transient
from domain.settings import Settings
from schemas.events import StageTraced
from stores import kafka_events
from stores.kafka_events import KafkaEventLog
from stores.memory.kafka import MemoryEventLog
from tests.fresh import fresh_id, now_ms
from tests.kafka import make_topic, read_all
from topics.catalog import STAGE_TRACED


@pytest.fixture(scope="module")
def own_topic(settings: Settings) -> str:
    return make_topic(settings)


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[KafkaEventLog]:
    opened = KafkaEventLog(settings.address("kafka"))
    yield opened
    await opened.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_events, "DELIVERY_LIMIT_S", 2.0)


async def test_raw_bytes_arrive_as_they_are(
    log: KafkaEventLog, settings: Settings, own_topic: str
) -> None:
    twin, yesterday = MemoryEventLog(), now_ms() - 86_400_000
    headers = [("traceparent", b"00-1-2-01"), ("twice", b"\x00"), ("twice", b"\xff")]
    for each in (log, twin):
        await each.publish_raw(own_topic, b"\x00key", b"\xff\x00value", headers, yesterday)
        await each.publish_raw(own_topic, None, None, [], yesterday)
    found = [r for records in read_all(settings, own_topic).values() for r in records]
    assert sorted(found, key=repr) == sorted(twin.records, key=repr)


async def test_an_event_is_framed_and_keyed_by_its_topic(
    log: KafkaEventLog, settings: Settings
) -> None:
    event = StageTraced(
        event_id=fresh_id(), occurred_at=now_ms(), version=1, photo_id=fresh_id("ph_"),
        stage="test", topic="none", partition=0, offset=0, wait_ms=0, work_ms=0, outcome="done",
    )  # fmt: skip
    twin = MemoryEventLog()
    for each in (log, twin):
        await each.publish(STAGE_TRACED, event, {"traceparent": b"00-1-2-01"})
    assert twin.events(STAGE_TRACED) == [event]
    records = await asyncio.to_thread(read_all, settings, STAGE_TRACED.name)
    (mine,) = [r for rs in records.values() for r in rs if r.key == event.photo_id.encode()]
    assert STAGE_TRACED.codec.decode(mine.value) == event
    assert mine.headers == (("traceparent", b"00-1-2-01"),)


async def test_a_key_keeps_its_partition_and_its_order(
    log: KafkaEventLog, settings: Settings, own_topic: str
) -> None:
    keys = [fresh_id("u_").encode() for _ in range(20)]
    await asyncio.gather(
        *(log.publish_raw(own_topic, key, b"%d" % n, []) for n in range(50) for key in keys)
    )
    found = await asyncio.to_thread(read_all, settings, own_topic)
    for key in keys:
        (values,) = [
            [record.value for record in records if record.key == key]
            for records in found.values()
            if any(record.key == key for record in records)
        ]
        assert values == [b"%d" % n for n in range(50)]


@pytest.mark.usefixtures("impatient")
async def test_a_topic_that_is_not_there_is_an_error_in_bounded_time(log: KafkaEventLog) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(Transient):
            await log.publish_raw(f"absent.{secrets.token_hex(6)}", None, b"", [])


@pytest.mark.usefixtures("impatient")
async def test_a_broker_that_is_away_is_store_away_in_bounded_time() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        log = KafkaEventLog(f"127.0.0.1:{unused.getsockname()[1]}")
        async with asyncio.timeout(5):
            with pytest.raises(StoreAway):
                await log.publish_raw("anything", None, b"", [])
        await log.close()


async def test_who_gives_up_waiting_hurts_nobody(
    log: KafkaEventLog, settings: Settings, own_topic: str
) -> None:
    gone = asyncio.ensure_future(log.publish_raw(own_topic, b"gone", b"", []))
    await asyncio.sleep(0)
    gone.cancel()
    await log.publish_raw(own_topic, b"stays", b"", [])
    assert gone.cancelled()
    found = await asyncio.to_thread(read_all, settings, own_topic)
    assert any(record.key == b"stays" for records in found.values() for record in records)
