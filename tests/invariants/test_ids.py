"""I12: ids never collide and always increase, whatever the clocks do and whoever dies."""

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.errors import Transient
from domain.ids import EPOCH_MS, MAX_AHEAD_MS, SEQUENCES, Snowflakes, read, spell, time_of
from stores.id_source import IdSource
from stores.memory.postgres import MemoryMachineLeases

START_MS = EPOCH_MS + 10**10
FOREVER = 1 << 62

steps = st.one_of(
    st.integers(-3, 3),
    st.integers(-MAX_AHEAD_MS * 2, MAX_AHEAD_MS * 2),
    st.integers(-(10**6), 10**6),
)


@given(st.lists(steps, max_size=300), st.integers(0, 1023))
def test_ids_increase_whatever_the_clock_does(moves: list[int], machine_id: int) -> None:
    flakes, now_ms, last = Snowflakes(machine_id, START_MS - 1), START_MS, -1
    for move in moves:
        now_ms = max(EPOCH_MS, now_ms + move)
        try:
            number = flakes.next(now_ms, FOREVER)
        except Transient:
            continue
        assert number > last
        assert time_of(spell(number)) <= now_ms + MAX_AHEAD_MS
        last = number


def test_a_small_step_back_is_waited_for_and_a_large_one_refused() -> None:
    flakes = Snowflakes(1, 0)
    first = flakes.next(START_MS, FOREVER)
    assert flakes.next(START_MS - MAX_AHEAD_MS, FOREVER) == first + 1
    with pytest.raises(Transient):
        flakes.next(START_MS - MAX_AHEAD_MS - 1, FOREVER)
    assert flakes.next(START_MS - MAX_AHEAD_MS, FOREVER) == first + 2


def test_a_full_millisecond_runs_over_into_the_next() -> None:
    flakes = Snowflakes(1, 0)
    numbers = [flakes.next(START_MS, FOREVER) for _ in range(SEQUENCES + 1)]
    assert numbers == sorted(set(numbers))
    assert time_of(spell(numbers[-2])) == START_MS
    assert time_of(spell(numbers[-1])) == START_MS + 1


def test_no_id_is_made_outside_the_granted_range() -> None:
    flakes = Snowflakes(1, used_until=START_MS)
    assert time_of(spell(flakes.next(START_MS, START_MS + 1))) == START_MS + 1
    with pytest.raises(Transient):
        flakes.next(START_MS + 2, START_MS + 1)


@dataclass
class Process:
    """One process with its id source; its wall clock differs from everyone else's."""

    source: IdSource
    skew_ms: int
    last: int = -1


class Fleet:
    """Processes that start, make ids, renew, end and die, under clocks that jump.

    There is one machine id, so it is taken over all the time; times are few, so that clocks meet
    the very same millisecond again.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.server_s = START_MS / 1000
        self.wall_ms = START_MS
        self.monotonic_s = 0.0
        self.leases = MemoryMachineLeases(lambda: self.server_s)
        del self.leases._machines[1:]  # noqa: SLF001 - scarcity is the point
        self.processes: list[Process] = []
        self.made: set[int] = set()

    def step(self) -> None:
        """Something happens; ids are made half of the time."""
        deeds = (self.starts, self.renews, self.ends, self.dies, self.passes, self.jumps)
        self.random.choice((*deeds, *[self.makes] * len(deeds)))()

    def starts(self) -> None:
        """A process is added when it gets a lease."""
        process = Process(
            IdSource(
                self.leases,
                wall_s=lambda: (self.wall_ms + process.skew_ms) / 1000,
                monotonic_s=lambda: self.monotonic_s,
            ),
            self.random.choice((0, 0, 0, 500, 61_000, -61_000)),
        )
        if _ends(process.source.hold()):
            self.processes.append(process)

    def makes(self) -> None:
        """A process makes a few ids, if it can: greater than its own and nobody else's."""
        for process in self.one():
            for _ in range(self.random.randint(1, 3)):
                try:
                    made = read(process.source.next_id())
                except Transient:
                    return
                assert made > process.last
                assert made not in self.made
                process.last = made
                self.made.add(made)

    def renews(self) -> None:
        """A process renews its lease, or takes another when it was lost."""
        for process in self.one():
            _ends(process.source.hold())

    def ends(self) -> None:
        """A process gives its machine id back."""
        for process in self.one():
            _ends(process.source.close())
            self.processes.remove(process)

    def dies(self) -> None:
        """A process is killed."""
        for process in self.one():
            self.processes.remove(process)

    def passes(self) -> None:
        """Time passes, the same for everyone."""
        passed_s = self.random.choice((0.5, 30.0, 61.0))
        self.server_s += passed_s
        self.monotonic_s += passed_s
        self.wall_ms += round(passed_s * 1000)

    def jumps(self) -> None:
        """A clock jumps: the server's, everyone's wall clock, or one process's."""
        step_ms = self.random.choice((-61_000, -61_000, -500, 500, 61_000))
        match self.random.choice(("server", "wall", "one")):
            case "server":
                self.server_s += step_ms / 1000
            case "wall":
                self.wall_ms += step_ms
            case _:
                for process in self.one():
                    process.skew_ms += step_ms

    def one(self) -> list[Process]:
        """Any one process, none if there is none."""
        return self.random.sample(self.processes, min(1, len(self.processes)))


@given(st.integers(0, 1 << 32))
@settings(max_examples=100, deadline=None)
def test_a_fleet_never_makes_an_id_twice(seed: int) -> None:
    fleet = Fleet(Random(seed))  # noqa: S311 - a walk to repeat, not a secret
    for _ in range(300):
        fleet.step()
    assume(fleet.made)  # clocks may jump so that nobody is allowed to make any


def _ends(call: object) -> bool:
    """Run a coroutine that never really waits; False when it raised Transient."""
    try:
        call.send(None)  # type: ignore[attr-defined] # a coroutine, whatever it ends with
    except StopIteration:
        return True
    except Transient:
        return False
    raise AssertionError("it waits")
