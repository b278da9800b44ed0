"""What a topic is: name, event, key, partitions, retention, declared once."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Generic, TypeVar

from schemas.codec import Codec
from schemas.events import Event
from schemas.registry import committed

E = TypeVar("E", bound=Event)

RETRY, DEAD_LETTERS = ".retry", ".dlq"
"""How the names of a group's own topics end."""


@dataclass(frozen=True)
class Topic(Generic[E]):
    """An event topic. `key` names the field, or fields joined by `:`, that partition it.

    `outside` names who makes or reads it apart from the stages, for the topology's picture and the
    check that no topic is an orphan.
    """

    name: str
    event: type[E]
    key: str
    partitions: int = 8
    retention_hours: int = 168
    made_outside: tuple[str, ...] = field(default=(), kw_only=True)
    read_outside: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def subject(self) -> str:
        """The registry subject of the value."""
        return f"{self.name}-value"

    @cached_property
    def codec(self) -> Codec[E]:
        """The codec over the committed registry."""
        return Codec(self.event, self.subject, committed())

    def key_of(self, event: E) -> bytes:
        """The message key, UTF-8."""
        return ":".join(str(getattr(event, name)) for name in self.key.split(":")).encode()


@dataclass(frozen=True)
class RawTopic:
    """A topic whose bytes are somebody else's: retries, dead letters, table changelogs."""

    name: str
    partitions: int
    retention_hours: int = 168
    compacted: bool = False


def retry_topic(group: str, partitions: int) -> RawTopic:
    """Where `group` puts what it will try again; partitioned as the source: tables stay local."""
    return RawTopic(f"{group}{RETRY}", partitions)


def dead_letter_topic(group: str) -> RawTopic:
    """Where `group` puts what it can't handle, byte for byte."""
    return RawTopic(f"{group}{DEAD_LETTERS}", 1)


def changelog_topic(group: str, table: str, partitions: int) -> RawTopic:
    """The changelog of a stage's table, named as Faust names it."""
    return RawTopic(f"{group}-{table}-changelog", partitions, compacted=True)
