"""Twin of the event log: a list of records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from topics.topic import E, Topic


@dataclass(frozen=True, slots=True)
class MemoryRecord:
    """One record as it was written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int | None


class MemoryEventLog:
    """Twin of KafkaEventLog: `records` holds everything, oldest first."""

    def __init__(self) -> None:
        self.records: list[MemoryRecord] = []

    async def publish(
        self, topic: Topic[E], event: E, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Encode and append."""
        value = topic.codec.encode(event)
        await self.publish_raw(topic.name, topic.key_of(event), value, [*(headers or {}).items()])

    async def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int | None = None,
    ) -> None:
        """Append bytes as they are."""
        self.records.append(MemoryRecord(topic, key, value, tuple(headers), timestamp_ms))

    async def ping(self) -> None:
        """It always answers."""

    def events(self, topic: Topic[E]) -> list[E]:
        """What was written to `topic`, decoded."""
        mine = (record.value for record in self.records if record.topic == topic.name)
        return [topic.codec.decode(value) for value in mine]
