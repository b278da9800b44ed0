"""Plain reading of Kafka's records: no group, no commit, bounded by offsets given beforehand."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka.partitioner import murmur2
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from domain.errors import StoreAway, Transient
from stores.kafka_admin import QUIET, Place
from topics.record import Record

LIMIT_S = 20.0
"""Longest silence while records are due."""
_BATCH = 500
_CONFIG = {
    "group.id": "photofeed-operator",  # the library wants one; nothing is ever committed to it
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # what retention took is skipped
    "isolation.level": "read_committed",
    "fetch.wait.max.ms": 50,
}


def read(bootstrap: str, ranges: Mapping[Place, tuple[int, int]]) -> Iterator[Record]:
    """Every record of each place's [first, end) offsets, in order within a partition.

    Raises StoreAway after LIMIT_S without an answer.
    """
    ends = {place: end for place, (first, end) in ranges.items() if first < end}
    if not ends:
        return
    consumer = _consumer(bootstrap, {place: ranges[place][0] for place in ends})
    last_heard = time.monotonic()
    try:
        while ends:
            for message in consumer.consume(_BATCH, 0.2):
                last_heard = time.monotonic()
                yield from _wanted(message, ends)
            if time.monotonic() - last_heard > LIMIT_S:
                raise StoreAway(f"kafka at {bootstrap} was silent for {LIMIT_S:.0f} s")
    finally:
        consumer.close()


def partition_of(key: bytes, partitions: int) -> int:
    """Where our producers put a key: murmur2, as Kafka's own client."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions


def first_times(bootstrap: str, offsets: Mapping[Place, int]) -> dict[Place, int]:
    """The timestamp (ms) of the first record at or behind each offset; absent where none is."""
    times: dict[Place, int] = {}
    if not offsets:
        return times
    consumer = _consumer(bootstrap, offsets)
    open_places = dict.fromkeys(offsets)
    deadline = time.monotonic() + LIMIT_S
    try:
        while open_places and time.monotonic() < deadline:
            for message in consumer.consume(_BATCH, 0.2):
                place = _place(message)
                if not _is_end(message) and place in open_places:
                    times[place] = message.timestamp()[1]
                open_places.pop(place, None)
    finally:
        consumer.close()
    return times


def _consumer(bootstrap: str, offsets: Mapping[Place, int]) -> Consumer:
    consumer = Consumer({**_CONFIG, "bootstrap.servers": bootstrap}, logger=QUIET)
    consumer.assign([TopicPartition(t, p, offset) for (t, p), offset in offsets.items()])
    return consumer


def _wanted(message: Message, ends: dict[Place, int]) -> Iterator[Record]:
    """The record unless it lies behind its range; a range that is through leaves `ends`."""
    place = _place(message)
    if _is_end(message):
        ends.pop(place, None)
        return
    offset: Any = message.offset()
    if place in ends and offset < ends[place]:
        yield _record(message)
    if place in ends and offset >= ends[place] - 1:
        del ends[place]


def _is_end(message: Message) -> bool:
    """Whether this is the end-of-partition mark. Raises StoreAway, Transient on other errors."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - a public constant, spelt so
        return True
    raise Transient(f"kafka: {error.str()}")


def _place(message: Message) -> Place:
    topic, partition = message.topic(), message.partition()
    if topic is None or partition is None:  # an error of the client, not of a partition
        _is_end(message)
        raise StoreAway("kafka: the client lost its brokers")
    return topic, partition


def _record(message: Message) -> Record:
    place = _place(message)
    offset: Any = message.offset()
    key: Any = message.key()
    value: Any = message.value()
    headers: Any = message.headers() or ()
    return Record(*place, offset, key, value, tuple(headers), message.timestamp()[1])
