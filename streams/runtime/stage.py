"""What a stage is: a name, the topics it reads and writes, and its handler."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Protocol, runtime_checkable

from domain.settings import Retries, Settings
from schemas.events import Event
from stores.connect import Stores
from topics.topic import RawTopic, Topic, changelog_topic, dead_letter_topic, retry_topic


@dataclass(frozen=True, slots=True)
class Emit:
    """One event to be published before the source is acknowledged."""

    topic: Topic[Any]
    event: Event


Handler = Callable[[Any], Awaitable[Sequence[Emit]]]
"""Handles one decoded event; its effects are durable when it returns. Safe to repeat.

Called for one event of a key at a time, for different keys side by side. Raises Transient,
StoreAway or Unrecoverable; anything else stops the worker.
"""

Tables = Mapping[str, MutableMapping[str, Any]]


@runtime_checkable
class Recovers(Protocol):
    """A handler that keeps something in memory that follows from its tables."""

    def recovered(self) -> None:
        """The tables hold what this worker was assigned, and no event has been handled since."""


@runtime_checkable
class Prepares(Protocol):
    """A handler that has something to do before its first event."""

    async def prepare(self) -> None:
        """Do it. Raises StoreAway, Transient: then the first event waits for it."""


@runtime_checkable
class Concludes(Protocol):
    """A handler that has something to do once Kafka has what it emitted."""

    async def conclude(self, event: Any, emits: Sequence[Emit]) -> None:  # noqa: ANN401 - its event
        """Do it; until it succeeded the event isn't settled. Safe to repeat. Raises Transient."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the topology. Its name is its consumer group."""

    name: str
    reads: tuple[Topic[Any], ...]
    writes: tuple[Topic[Any], ...]
    make: Callable[[Stores, Tables], Handler]
    tables: tuple[str, ...] = ()
    retries: Callable[[Settings], Retries] = attrgetter("retries")

    @property
    def partitions(self) -> int:
        """Partitions of every topic it reads (they are equal, so that tables stay local)."""
        (count,) = {topic.partitions for topic in self.reads}
        return count

    @property
    def retry(self) -> RawTopic:
        """Its retry topic."""
        return retry_topic(self.name, self.partitions)

    @property
    def dead_letters(self) -> RawTopic:
        """Its dead letters."""
        return dead_letter_topic(self.name)

    @property
    def changelogs(self) -> tuple[RawTopic, ...]:
        """The changelogs of its tables."""
        return tuple(changelog_topic(self.name, table, self.partitions) for table in self.tables)
