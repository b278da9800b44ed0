"""Kafka for tests: a topic of one's own, and reading a whole topic."""

import secrets
import time
from typing import cast

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from domain.settings import Settings
from stores.memory.kafka import MemoryRecord


def make_topic(settings: Settings, partitions: int = 8) -> str:
    """A new topic's name; it goes when the stack goes."""
    name = f"test.{secrets.token_hex(6)}"
    admin = AdminClient({"bootstrap.servers": settings.address("kafka")})
    for done in admin.create_topics([NewTopic(name, partitions, 1)]).values():
        done.result(20)
    return name


def read_all(settings: Settings, topic: str) -> dict[int, list[MemoryRecord]]:
    """Everything in a topic, by partition."""
    consumer = Consumer(
        {"bootstrap.servers": settings.address("kafka"), "group.id": "unused-by-assignment"}
    )
    found: dict[int, list[MemoryRecord]] = {}
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    ends = {n: consumer.get_watermark_offsets(TopicPartition(topic, n), 10) for n in partitions}
    consumer.assign([TopicPartition(topic, n, low) for n, (low, _) in ends.items()])
    left = sum(high - low for low, high in ends.values())
    until = time.monotonic() + 20
    while left and time.monotonic() < until:
        for message in consumer.consume(left, 1.0):
            left -= 1
            partition, record = _record(message)
            found.setdefault(partition, []).append(record)
    consumer.close()
    assert left == 0
    return found


def _record(message: Message) -> tuple[int, MemoryRecord]:
    partition = message.partition()
    assert partition is not None
    headers = tuple(cast("list[tuple[str, bytes]]", message.headers() or []))
    made_at = message.timestamp()[1]
    return partition, MemoryRecord(
        str(message.topic()), message.key(), message.value(), headers, made_at
    )
