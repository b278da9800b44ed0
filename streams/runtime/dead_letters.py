"""The headers that retries and dead letters carry, documented here and nowhere else.

A record in `<group>.retry` or `<group>.dlq` has the key, value, timestamp and headers of the source
record byte for byte; behind those headers comes this set, all values UTF-8, numbers decimal, times
in milliseconds since the epoch:

| header                     | value                                                              |
|----------------------------|--------------------------------------------------------------------|
| `failure-source-topic`     | topic, partition and offset where the record was first read; they  |
| `failure-source-partition` | stay the same through every trip of the retry topic                |
| `failure-source-offset`    |                                                                    |
| `failure-group`            | consumer group that failed                                         |
| `failure-stage`            | stage that failed                                                  |
| `failure-reason`           | one of `domain.errors.Reason`; empty in a retry topic              |
| `failure-message`          | the error's type and text, at most 500 characters                  |
| `failure-stack-digest`     | 16 hexadecimal digits, equal for errors from the same place        |
| `failure-attempts`         | how often the handler was called, all trips together               |
| `failure-rounds`           | trips through the retry topic so far                               |
| `failure-first-at`         | when it failed first, and last                                     |
| `failure-last-at`          |                                                                    |
| `failure-not-before`       | retry topics: earliest time of the next try                        |
| `failure-replayed-from`    | retry topics: `topic/partition/offset` it was replayed from, if so |

Whoever replays a record into its source topic strips the set, from the last
`failure-source-topic` on: a producer's own headers stay, whatever their names. Into a retry topic,
for one group alone, a record needs only the three source headers: what is missing of the rest
counts as zero, so it is handled as if it were new.
"""

import hashlib
import traceback
from dataclasses import dataclass, fields, replace
from typing import Self

from topics.record import Headers, Record
from topics.topic import DEAD_LETTERS, RETRY

PREFIX = "failure-"
REPLAYED_FROM = f"{PREFIX}replayed-from"
_SET_BEGINS = f"{PREFIX}source-topic"
_MESSAGE_LIMIT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is known of a record's failures; a field's header is documented above."""

    source_topic: str
    source_partition: int
    source_offset: int
    group: str = ""
    stage: str = ""
    reason: str = ""
    message: str = ""
    stack_digest: str = ""
    attempts: int = 0
    rounds: int = 0
    first_at: int = 0
    last_at: int = 0
    not_before: int = 0

    @classmethod
    def none_yet(cls, record: Record) -> Self:
        """Of a record that was just read from its own topic."""
        return cls(
            source_topic=record.topic,
            source_partition=record.partition,
            source_offset=record.offset,
        )

    def failed(self, error: BaseException, *, attempts: int, now: int) -> Self:
        """After `attempts` more calls, the last of which raised `error`."""
        return replace(
            self,
            message=f"{type(error).__name__}: {error}"[:_MESSAGE_LIMIT],
            stack_digest=stack_digest(error),
            attempts=self.attempts + attempts,
            first_at=self.first_at or now,
            last_at=now,
        )

    def headers(self) -> Headers:
        """As record headers."""
        return tuple(
            (_header(each.name), str(getattr(self, each.name)).encode()) for each in fields(self)
        )


def read(headers: Headers) -> Failure | None:
    """The failure that headers tell of, None when they name no source. Raises ValueError."""
    told = {
        name: (value or b"").decode()  # Kafka's headers may be null
        for name, value in headers[_own_end(headers) :]
    }
    values = {
        each.name: each.type(told[_header(each.name)])  # type: ignore[operator] # str or int, a class
        for each in fields(Failure)
        if _header(each.name) in told
    }
    if not {"source_topic", "source_partition", "source_offset"} <= values.keys():
        return None
    return Failure(**values)


def original(topic: str, headers: Headers) -> Headers:
    """The source record's own headers, from those of a record in any topic."""
    ours = topic.endswith((RETRY, DEAD_LETTERS))
    return headers[: _own_end(headers)] if ours else headers


def stack_digest(error: BaseException) -> str:
    """Equal for errors of one type raised through the same functions, whatever the line numbers."""
    frames = traceback.extract_tb(error.__traceback__)
    path = [type(error).__name__, *(f"{frame.filename}:{frame.name}" for frame in frames)]
    return hashlib.sha256("\n".join(path).encode()).hexdigest()[:16]


def _own_end(headers: Headers) -> int:
    """Where the source record's own headers end and our set begins."""
    starts = (n for n, (name, _) in enumerate(headers) if name == _SET_BEGINS)
    return max(starts, default=len(headers))


def _header(field: str) -> str:
    return PREFIX + field.replace("_", "-")
