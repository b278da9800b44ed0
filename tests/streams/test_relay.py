"""The outbox relay on real servers: what was committed reaches Kafka, whatever dies when."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from domain.errors import StoreAway
from domain.ports.log import EventLog
from domain.settings import ROOT, Settings
from stores.kafka_events import KafkaEventLog
from stores.memory.graph import MemoryOutbox
from stores.memory.kafka import MemoryEventLog
from stores.postgres_outbox import APPLICATION, PostgresOutbox
from stores.postgres_pool import PostgresPool
from streams.relay import BATCH, Relay
from tests.kafka import make_topic, read_all
from tests.waiting import until

_INSERT = """INSERT INTO outbox (topic, key, payload, headers)
    VALUES (%s, %s, 'payload', '{"traceparent": "00-1-2-01"}')"""


@pytest.fixture
def topic(settings: Settings) -> str:
    return make_topic(settings, partitions=2)


@pytest.fixture
async def log(settings: Settings) -> AsyncIterator[KafkaEventLog]:
    opened = KafkaEventLog(settings.address("kafka"))
    yield opened
    await opened.close()


@pytest.fixture
async def outbox(postgres: PostgresPool, postgres_dsn: str) -> AsyncIterator[PostgresOutbox]:
    await postgres.run("DELETE FROM outbox")
    opened = PostgresOutbox(postgres_dsn)
    yield opened
    await opened.close()


@asynccontextmanager
async def _running(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    yield
    relay.stop.set()
    async with asyncio.timeout(20):
        await task


async def _empty(postgres: PostgresPool) -> None:
    async def empty() -> bool:
        return not await postgres.tuples("SELECT 1 FROM outbox LIMIT 1")

    await until(empty)


async def _keys(settings: Settings, topic: str) -> list[bytes | None]:
    found = await asyncio.to_thread(read_all, settings, topic)
    return sorted((r.key for records in found.values() for r in records), key=repr)


async def test_committed_rows_reach_kafka_once_and_leave_the_outbox(
    outbox: PostgresOutbox, log: EventLog, postgres: PostgresPool, topic: str, settings: Settings
) -> None:
    keys = [b"%04d" % n for n in range(BATCH + 100)]
    async with postgres.transaction() as connection:
        await connection.cursor().executemany(_INSERT, [(topic, key) for key in keys])
    async with _running(Relay(outbox, log, asyncio.Event())):
        await _empty(postgres)
    assert await _keys(settings, topic) == keys
    (record, *_) = (await asyncio.to_thread(read_all, settings, topic))[0]
    assert (record.value, record.headers) == (b"payload", (("traceparent", b"00-1-2-01"),))


async def test_a_lower_id_that_commits_after_a_higher_was_relayed_is_relayed_too(
    outbox: PostgresOutbox, postgres_dsn: str, postgres: PostgresPool
) -> None:
    log = MemoryEventLog()
    async with _running(Relay(outbox, log, asyncio.Event())):
        async with await psycopg.AsyncConnection.connect(postgres_dsn) as slow:
            await slow.execute(_INSERT, ("t", b"lower"))
            await postgres.run(_INSERT, ("t", b"higher"))
            await _empty(postgres)
            assert [record.key for record in log.records] == [b"higher"]
            await slow.commit()
        await _empty(postgres)
    assert [record.key for record in log.records] == [b"higher", b"lower"]


async def test_a_rolled_back_change_is_never_told(
    outbox: PostgresOutbox, postgres_dsn: str, postgres: PostgresPool
) -> None:
    log = MemoryEventLog()
    async with _running(Relay(outbox, log, asyncio.Event())):
        async with await psycopg.AsyncConnection.connect(postgres_dsn) as undone:
            await undone.execute(_INSERT, ("t", b"undone"))
            await undone.rollback()
        await postgres.run(_INSERT, ("t", b"done"))
        await _empty(postgres)
    assert [record.key for record in log.records] == [b"done"]


async def test_a_kill_between_publish_and_delete_only_repeats(
    outbox: PostgresOutbox,
    log: EventLog,
    postgres: PostgresPool,
    postgres_dsn: str,
    topic: str,
    settings: Settings,
) -> None:
    keys = [b"%d" % n for n in range(3)]
    for key in keys:
        await postgres.run(_INSERT, (topic, key))
    dying = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.streams.dying_relay", postgres_dsn, settings.address("kafka")),
        cwd=ROOT,
    )
    assert await asyncio.wait_for(dying.wait(), 30) == -signal.SIGKILL
    assert await _keys(settings, topic) == keys
    assert len(await postgres.tuples("SELECT 1 FROM outbox")) == 3
    async with _running(Relay(outbox, log, asyncio.Event())):
        await _empty(postgres)
    assert await _keys(settings, topic) == sorted(keys * 2)


async def test_a_cut_connection_to_postgres_loses_nothing(
    outbox: PostgresOutbox, postgres: PostgresPool
) -> None:
    log = MemoryEventLog()
    async with _running(Relay(outbox, log, asyncio.Event())):
        for number in range(5):
            await postgres.run(_INSERT, ("t", b"%d" % number))
            await postgres.run(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND application_name = %s""",
                (APPLICATION,),
            )
        await _empty(postgres)
    assert sorted({record.key for record in log.records}, key=repr) == [b"%d" % n for n in range(5)]


class AwayLog(MemoryEventLog):
    """A Kafka that can be taken away."""

    away = True

    async def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int | None = None,
    ) -> None:
        if self.away:
            raise StoreAway("kafka: gone")
        await super().publish_raw(topic, key, value, headers, timestamp_ms)


async def test_while_kafka_is_away_it_waits_and_says_so() -> None:
    outbox, log = MemoryOutbox(), AwayLog()
    outbox.put("t", b"1", b"")
    relay = Relay(outbox, log, asyncio.Event())

    async def is_ready() -> bool:
        return relay.ready

    async with _running(relay):
        await asyncio.sleep(0.3)
        assert not await is_ready()
        assert (await outbox.depth())[0] == 1
        log.away = False
        await until(is_ready)
    assert [record.key for record in log.records] == [b"1"]


async def test_it_can_be_stopped_while_a_server_is_away() -> None:
    outbox = MemoryOutbox()
    outbox.put("t", b"1", b"")
    async with _running(Relay(outbox, AwayLog(), asyncio.Event())):
        await asyncio.sleep(0.1)


async def test_the_process_beats_and_ends_on_sigterm(settings: Settings, tmp_path: Path) -> None:
    shutil.copy(settings.run_dir / "secrets.json", tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.relay"),
        cwd=ROOT,
        env=os.environ | {"PHOTOFEED_RUN_DIR": str(tmp_path)},
    )
    beat = tmp_path / "health" / "relay.json"

    async def beats() -> bool:
        return beat.exists() and json.loads(beat.read_text())["ready"] is True

    await until(beats, 30)
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert not beat.exists()
