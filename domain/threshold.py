"""How far to push: the adaptive threshold as a pure controller (seed section 10).

Readers are served cheapest from what was pushed to them, so the threshold is to be as high as
freshness allows (bench/threshold.py has the costs). It falls in large steps when posts come late,
the larger the later they are, and rises in small ones when there is room: a share of itself each
time, because followers are spread over many orders of magnitude. Three things keep it from
swinging:

* a band between "late" and "room" in which nothing moves;
* a least change: what differs by less isn't worth an event;
* the caller's pace: what a step did must have been measured before the next.

And one post alone must not take too long: followers x cost of a write / writers stays below
`SHARE_OF_ONE` of the time that freshness allows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LATE = 0.5
"""Share of the allowed age from which posts count as late: half is left for what is behind them."""

ROOM = 0.1
"""Share of the allowed age below which there is room for more."""

FALL = 0.7
RISE = 1.1
LEAST_CHANGE = 0.05
SHARE_OF_ONE = 0.5


class Why(StrEnum):
    """What moved the threshold, or that nothing did."""

    STEADY = "steady"
    LATE = "posts come late"
    ROOM = "there is room"
    COST = "one post would take too long"
    BOUNDS = "outside of its bounds"


@dataclass(frozen=True, slots=True)
class WriterLoad:
    """What one writer of feeds measured lately.

    `lag_s`: greatest age of a post when it was in the last feed of its chunk, or of one that is
    being written. `write_s`: a writer's time for one feed, None before it has written enough.
    """

    lag_s: float
    write_s: float | None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Followers between which the threshold moves, and the age that posts may have in feeds."""

    lowest: int
    highest: int
    freshness_s: float


@dataclass(frozen=True, slots=True)
class Move:
    """Where the threshold is to be, and why."""

    followers: int
    why: Why


def move(current: int, loads: Sequence[WriterLoad], bounds: Bounds) -> Move:
    """The next threshold. Without a writer that measured anything it only keeps to its bounds."""
    wanted, why = _wanted(current, loads, bounds)
    followers = min(max(round(wanted), bounds.lowest), bounds.highest)
    if bounds.lowest <= current <= bounds.highest:
        if abs(followers - current) < max(1.0, LEAST_CHANGE * current):
            return Move(current, Why.STEADY)
        return Move(followers, why)
    return Move(followers, Why.BOUNDS if why is Why.STEADY else why)


def _wanted(current: int, loads: Sequence[WriterLoad], bounds: Bounds) -> tuple[float, Why]:
    lag_s = max((load.lag_s for load in loads), default=None)
    if lag_s is None:
        return current, Why.STEADY
    wanted, why = float(current), Why.STEADY
    if lag_s >= LATE * bounds.freshness_s:
        wanted, why = current * FALL * LATE * bounds.freshness_s / lag_s, Why.LATE
    elif lag_s <= ROOM * bounds.freshness_s:
        wanted, why = max(current * RISE, current + 1), Why.ROOM
    alone = _of_one_post(loads, bounds.freshness_s)
    return (alone, Why.COST) if alone < wanted else (wanted, why)


def _of_one_post(loads: Sequence[WriterLoad], freshness_s: float) -> float:
    """Followers whom the writers together reach with one post in its share of the time."""
    costs = [load.write_s for load in loads if load.write_s]
    if not costs:
        return float("inf")
    return SHARE_OF_ONE * freshness_s * len(loads) / (sum(costs) / len(costs))
