"""How a consumer group is doing, judged from two looks at its offsets: pure.

OK      nothing waits for long.
WARN    it moves, but the oldest waiting record is older than WARN_S.
STOP    nobody reads the topic: the group has no member, or the topic isn't there.
STALL   it has members, a record older than STALL_S waits, and its offset didn't move between the
        looks: the handler hangs, waits for a store, or is poisoned.
REWIND  its offset went back, or lies beyond the topic's end (reset, or the topic was made anew).

The worst that is true is what counts, in the order REWIND, STOP, STALL, WARN.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

WARN_S = 30.0
STALL_S = 60.0


class State(StrEnum):
    """See the module."""

    OK = "OK"
    WARN = "WARN"
    STOP = "STOP"
    STALL = "STALL"
    REWIND = "REWIND"


class Trend(StrEnum):
    """Where the number of waiting records goes."""

    RISING = "rising"
    FALLING = "falling"
    STEADY = "steady"


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One partition: next offset to read (None: never committed), next to be written, the rest."""

    partition: int
    committed: int | None
    end: int
    lag_messages: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class Look:
    """A group on one topic at one time. `patience_s`: how long records are meant to wait there."""

    members: int
    partitions: tuple[PartitionLag, ...]
    patience_s: float = 0.0

    @property
    def lag_messages(self) -> int:
        """All that waits."""
        return sum(part.lag_messages for part in self.partitions)

    @property
    def lag_seconds(self) -> float:
        """Age of the oldest that waits, 0 when nothing does."""
        return max((part.lag_seconds for part in self.partitions), default=0.0)


def judge(before: Look, now: Look) -> tuple[State, str]:
    """The state and why."""
    for state, reasons in (
        (State.REWIND, _rewinds(before.partitions, now.partitions)),
        (State.STOP, _stops(now)),
        (State.STALL, _stalls(before.partitions, now)),
        (State.WARN, _delays(now)),
    ):
        why = next(reasons, None)
        if why is not None:
            return state, why
    return State.OK, "caught up" if now.lag_messages == 0 else "moving"


def trend(before: Look, now: Look) -> Trend:
    """Whether more or fewer records wait than before."""
    if now.lag_messages == before.lag_messages:
        return Trend.STEADY
    return Trend.RISING if now.lag_messages > before.lag_messages else Trend.FALLING


def _rewinds(before: Sequence[PartitionLag], now: Sequence[PartitionLag]) -> Iterator[str]:
    earlier = {part.partition: part.committed for part in before}
    for part in now:
        was = earlier.get(part.partition)
        if part.committed is None:
            continue
        if part.committed > part.end:
            yield f"partition {part.partition}: {part.committed} is beyond the end {part.end}"
        elif was is not None and part.committed < was:
            yield f"partition {part.partition}: went back from {was} to {part.committed}"


def _stops(now: Look) -> Iterator[str]:
    if not now.partitions:
        yield "the topic doesn't exist"
    elif now.members == 0:
        yield "the group has no members"


def _stalls(before: Sequence[PartitionLag], now: Look) -> Iterator[str]:
    earlier = {part.partition: part.committed for part in before}
    for part in now.partitions:
        stuck = part.lag_messages > 0 and earlier.get(part.partition, -1) == part.committed
        if stuck and part.lag_seconds > STALL_S + now.patience_s:
            waits = f"oldest record {part.lag_seconds:.0f} s old"
            yield f"partition {part.partition}: stuck at {part.committed}, {waits}"


def _delays(now: Look) -> Iterator[str]:
    if now.lag_seconds > WARN_S + now.patience_s:
        yield f"the oldest waiting record is {now.lag_seconds:.0f} s old"
