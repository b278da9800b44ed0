"""Faust, set up so that nothing is lost: the settings and the tables a worker runs with.

Each setting is one that held under kill -9 of workers and broker; what they guard against:

* an event is acknowledged by hand after its effects (`noack`, see `worker.py`);
* topics are declared by the catalogue alone, with their partition counts;
* a table's write is durable when its changelog has it: `DurableTables.flushed` waits for that,
  since Faust's flush gives up after 0.1 s and its commit doesn't ask.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from faust.types import AppT, CodecArg, FutureMessage, Message

from domain.settings import Settings
from streams.runtime.stage import Stage, Tables

_TABLE_MEMORY = {
    "write_buffer_size": 4 << 20,
    "target_file_size_base": 16 << 20,
    "block_cache_size": 32 << 20,
    "max_open_files": 64,
}
"""Per partition and table, bytes: RocksDB's defaults are made for one big database, not for 24."""


class RawBytes(faust.Schema[bytes, bytes]):
    """Leaves key and value alone: decoding is the runner's, so bad bytes can't crash the stream."""

    def loads_key(self, app: AppT, message: Message, **_: object) -> bytes | None:  # type: ignore[override] # records may have no key  # noqa: ARG002 - faust's signature
        """The key's bytes."""
        return message.key

    def loads_value(self, app: AppT, message: Message, **_: object) -> bytes | None:  # type: ignore[override] # tombstones  # noqa: ARG002 - faust's signature
        """The value's bytes."""
        return message.value


def make_app(stage: Stage, settings: Settings, index: int) -> faust.App:
    """The Faust application of one worker process; its id is the consumer group."""
    datadir = settings.run_dir / "faust" / f"{stage.name}-{index}"
    datadir.mkdir(parents=True, exist_ok=True)
    return faust.App(
        stage.name,
        broker=f"kafka://{settings.address('kafka')}",
        datadir=datadir,
        store="rocksdb://" if stage.tables else "memory://",
        agent_supervisor="mode.CrashingSupervisor",
        broker_client_id=f"{stage.name}-{index}",
        broker_commit_every=1000,
        broker_commit_interval=1.0,
        broker_heartbeat_interval=3.0,
        broker_request_timeout=30.0,
        broker_session_timeout=10.0,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"{stage.name}-{index}",
        producer_linger=0.02,
        producer_request_timeout=30.0,
        stream_buffer_maxsize=65_536,  # pressure on a smaller one makes the fetcher sleep a second
        stream_wait_empty=False,  # a rebalance doesn't wait for events in hand: they come again
        table_standby_replicas=0 if stage.tables else 1,  # > 0: the assignor that co-partitions
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
    )


class DurableTable(faust.Table[str, Any]):
    """A table that remembers which of its changelog records have no acknowledgement yet."""

    waiting: set[FutureMessage]

    def send_changelog(
        self,
        partition: int | None,
        key: Any,  # noqa: ANN401 - faust's signature
        value: Any,  # noqa: ANN401 - as above
        key_serializer: CodecArg | None = None,
        value_serializer: CodecArg | None = None,
    ) -> FutureMessage:
        """Enqueue a changelog record; faust calls this for every write."""
        sent = super().send_changelog(partition, key, value, key_serializer, value_serializer)
        self.waiting.add(sent)
        return sent


class DurableTables:
    """A stage's tables, and a way to know that what was written to them is durable."""

    def __init__(self, app: faust.App, stage: Stage) -> None:
        self._waiting: set[FutureMessage] = set()
        self._tables = {name: self._table(app, name, stage.partitions) for name in stage.tables}

    def by_name(self) -> Tables:
        """The tables as a handler sees them; writable only while one of its events is in hand."""
        return dict(self._tables)

    def on_recovered(self, call: Callable[[], Awaitable[None]]) -> None:
        """Call whenever the tables are whole after a change of partitions, before any event."""
        next(iter(self._tables.values())).on_recover(call)

    async def flushed(self) -> None:
        """Wait until everything written so far is in the changelogs. Raises if something isn't."""
        sent = list(self._waiting)
        await asyncio.gather(*sent)
        self._waiting.difference_update(sent)

    def _table(self, app: faust.App, name: str, partitions: int) -> DurableTable:
        table = DurableTable(
            app,
            name=name,
            partitions=partitions,
            beacon=app.tables.beacon,
            options=dict(_TABLE_MEMORY),
        )
        table.waiting = self._waiting
        app.tables.add(table)
        return table
