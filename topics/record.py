"""One Kafka record as bytes, whichever client consumed it."""

from dataclasses import dataclass

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record where it was found. `timestamp_ms` is its Kafka timestamp (Unix, UTC)."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def address(self) -> str:
        """`topic/partition/offset`, as operators name a record."""
        return f"{self.topic}/{self.partition}/{self.offset}"
