"""Ports: events, from a commit to the log, and the leases behind their ids."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from domain.entities import OutboxRow
from schemas.events import Event
from topics.topic import Topic

E = TypeVar("E", bound=Event)


class Outbox(Protocol):
    """Events that were committed together with their cause and await Kafka."""

    async def drain(
        self, publish: Callable[[Sequence[OutboxRow]], Awaitable[None]], limit: int
    ) -> int:
        """Publish up to `limit` rows, oldest first, then delete them; how many.

        One transaction: when `publish` raises or the process dies, they are there again. Rows that
        another drain holds are skipped.
        """

    async def wait(self, timeout_s: float) -> None:
        """Return when something was enqueued, at the latest after `timeout_s`."""

    async def depth(self) -> tuple[int, float]:
        """How many rows wait, up to 10,000, and the oldest one's age in seconds (0 for none)."""


class EventLog(Protocol):
    """Kafka as the commit: a returned call means all in-sync replicas have it."""

    async def publish(
        self, topic: Topic[E], event: E, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Encode, partition by murmur2 of the key, wait for the acknowledgement."""

    async def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int | None = None,
    ) -> None:
        """Write bytes as they are (retries, dead letters, replays)."""

    async def ping(self) -> None:
        """Whether it answers. Raises StoreAway."""


class MachineLeases(Protocol):
    """Machine ids of the id generator, leased durably (seed section 9, I12)."""

    async def acquire(self, holder: str, ttl_s: float, use_until: int) -> tuple[int, int]:
        """A free machine id (0..1023) and the last millisecond that a former holder was granted.

        The holder may make ids for the milliseconds between that one and `use_until`.
        Raises Transient when all are leased.
        """

    async def renew(self, machine_id: int, holder: str, ttl_s: float, use_until: int) -> bool:
        """Extend lease and granted range; False when the lease is no longer the holder's."""

    async def release(self, machine_id: int, holder: str, used_until: int) -> None:
        """Give the id back, remembering the last millisecond it was used for."""
