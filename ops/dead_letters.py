"""Dead letters as operators see them: found, filtered, sent back to the stage that gave up."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from domain.settings import Settings
from ops.errors import Refused
from ops.report import rfc3339
from schemas.codec import BadAvro
from schemas.events import Event
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin
from stores.kafka_reader import read
from stores.postgres_dead_letters import Address, Decision, PostgresDeadLetters
from streams.runtime.dead_letters import REPLAYED_FROM, Failure, original
from streams.runtime.dead_letters import read as read_failure
from streams.topology import BY_NAME, TOPOLOGY
from topics.catalog import BY_NAME as TOPICS
from topics.record import Record

_BATCH = 200


@dataclass(frozen=True, slots=True)
class Entry:
    """One dead letter and what its headers tell."""

    record: Record
    failure: Failure

    @property
    def address(self) -> Address:
        """Where it is, comparable."""
        return self.record.topic, self.record.partition, self.record.offset

    def row(self) -> dict[str, Any]:
        """The contract's shape."""
        failure = self.failure
        return {
            "id": self.record.address,
            "source_topic": failure.source_topic,
            "source_partition": failure.source_partition,
            "source_offset": failure.source_offset,
            "group": failure.group,
            "stage": failure.stage,
            "reason": failure.reason,
            "message": failure.message,
            "attempts": failure.attempts,
            "first_failed_at": rfc3339(failure.first_at),
            "last_failed_at": rfc3339(failure.last_at),
            "key": None if self.record.key is None else self.record.key.decode(errors="replace"),
        }

    def event(self) -> Event:
        """The event in it. Raises BadAvro."""
        topic = TOPICS.get(self.failure.source_topic)
        if topic is None:
            raise BadAvro(f"no topic of the catalogue: {self.failure.source_topic}")
        event: Event = topic.codec.decode(self.record.value)
        return event

    def details(self) -> dict[str, Any]:
        """Everything: headers, the decoded event or why there is none, the bytes."""
        try:
            event, undecodable = msgspec.to_builtins(self.event()), None
        except BadAvro as error:
            event, undecodable = None, str(error)
        value = self.record.value
        return self.row() | {
            "stack_digest": self.failure.stack_digest,
            "timestamp": rfc3339(self.record.timestamp_ms),
            "headers": {
                name: (text or b"").decode(errors="replace")
                for name, text in original(self.record.topic, self.record.headers)
            },
            "event": event,
            "undecodable": undecodable,
            "value_hex": None if value is None else value.hex(),
        }


def parse_id(text: str) -> Address:
    """The address that `topic/partition/offset` spells. Raises ValueError."""
    topic, partition, offset = text.split("/")
    return topic, int(partition), int(offset)


def every(settings: Settings) -> list[Entry]:
    """All dead letters that Kafka holds, by address. Raises StoreAway, Transient."""
    bootstrap = settings.address("kafka")
    admin = KafkaAdmin(bootstrap)
    counts = admin.partitions()
    names = [stage.dead_letters.name for stage in TOPOLOGY]
    places = [(name, p) for name in names for p in range(counts.get(name, 0))]
    starts, ends = admin.starts(places), admin.ends(places)
    records = read(bootstrap, {place: (starts[place], ends[place]) for place in places})
    return sorted(map(_entry, records), key=lambda entry: entry.address)


def named(settings: Settings, addresses: Sequence[Address]) -> list[Entry]:
    """The dead letters at these addresses. Raises Refused when one isn't there, StoreAway."""
    bootstrap = settings.address("kafka")
    admin = KafkaAdmin(bootstrap)
    counts = admin.partitions()
    topics = {stage.dead_letters.name for stage in TOPOLOGY}
    found = []
    for topic, partition, offset in addresses:
        place = (topic, partition)
        there = topic in topics and 0 <= partition < counts.get(topic, 0)
        inside = there and admin.starts([place])[place] <= offset < admin.ends([place])[place]
        records = list(read(bootstrap, {place: (offset, offset + 1)})) if inside else []
        if not records:
            raise Refused(f"no dead letter {topic}/{partition}/{offset}")
        found.append(_entry(records[0]))
    return found


def _entry(record: Record) -> Entry:
    """A record without readable headers is nobody's but its topic's."""
    try:
        failure = read_failure(record.headers)
    except ValueError:
        failure = None
    return Entry(
        record,
        failure
        or Failure(
            source_topic=record.topic,
            source_partition=record.partition,
            source_offset=record.offset,
        ),
    )


async def send_back(stores: Stores, entry: Entry, value: bytes | None) -> None:
    """To the retry topic of the group that gave up, as if it were new: no other group sees it.

    Raises Refused when the headers name no stage, StoreAway, Transient.
    """
    stage = BY_NAME.get(entry.failure.group)
    if stage is None:
        raise Refused(f"{entry.record.address}: its headers name no stage of ours")
    source = Failure(
        source_topic=entry.failure.source_topic,
        source_partition=entry.failure.source_partition,
        source_offset=entry.failure.source_offset,
    )
    record = entry.record
    marker = (REPLAYED_FROM, record.address.encode())
    headers = (*original(record.topic, record.headers), *source.headers(), marker)
    await stores.events.publish_raw(
        stage.retry.name, record.key, value, headers, record.timestamp_ms
    )


async def settle(
    stores: Stores, entries: Sequence[Entry], decision: Decision, why: str
) -> list[Entry]:
    """Decide what is still undecided; those that were.

    Replayed ones are sent first: a crash in between repeats an event, which is harmless, and loses
    none.
    """
    memory = PostgresDeadLetters(stores.postgres)
    decided = await memory.decided()
    fresh = [entry for entry in entries if entry.address not in decided]
    for start in range(0, len(fresh), _BATCH):
        batch = fresh[start : start + _BATCH]
        if decision == "replayed":
            await asyncio.gather(*(send_back(stores, each, each.record.value) for each in batch))
        await memory.decide([entry.address for entry in batch], decision, why)
    return fresh
