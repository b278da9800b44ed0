"""I12: ids never collide and always increase, whatever the clocks do and whoever dies."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.errors import Transient
from domain.ids import EPOCH_MS, MAX_AHEAD_MS, SEQUENCES, Snowflakes, read, spell, time_of
from stores.id_source import IdSource
from stores.memory.postgres import MemoryMachineLeases

START_MS = EPOCH_MS + 10**9
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


class Fleet(RuleBasedStateMachine):
    """Processes that start, make ids, lose touch, die and give back, under clocks that jump.

    Machine ids are scarce (3), so they are taken over all the time.
    """

    @initialize()
    def begin(self) -> None:
        self.server_s = START_MS / 1000
        self.wall_ms = START_MS
        self.monotonic_s = 0.0
        self.leases = MemoryMachineLeases(lambda: self.server_s)
        del self.leases._machines[3:]  # noqa: SLF001 - scarcity is the point
        self.processes: list[Process] = []
        self.made: set[int] = set()
        self.count = 0

    @rule(skew_ms=st.sampled_from([0, 0, 5, -500, 30_000, -30_000]))
    def a_process_starts(self, skew_ms: int) -> None:
        process = Process(
            IdSource(
                self.leases,
                wall_s=lambda: (self.wall_ms + process.skew_ms) / 1000,
                monotonic_s=lambda: self.monotonic_s,
            ),
            skew_ms,
        )
        if _ends(process.source.hold()):
            self.processes.append(process)

    @rule(which=st.integers(0, 9), number=st.integers(1, 5))
    def ids_are_made(self, which: int, number: int) -> None:
        for process in self.processes[which : which + 1]:
            for _ in range(number):
                try:
                    made = read(process.source.next_id())
                except Transient:
                    return
                assert made > process.last
                process.last = made
                self.made.add(made)
                self.count += 1

    @rule(which=st.integers(0, 9))
    def a_lease_is_renewed(self, which: int) -> None:
        for process in self.processes[which : which + 1]:
            _ends(process.source.hold())

    @rule(which=st.integers(0, 9))
    def a_process_ends(self, which: int) -> None:
        for process in self.processes[which : which + 1]:
            _ends(process.source.close())
            self.processes.remove(process)

    @rule(which=st.integers(0, 9))
    def a_process_is_killed(self, which: int) -> None:
        del self.processes[which : which + 1]

    @rule(passed_s=st.sampled_from([0.001, 1.0, 19.0, 59.0, 61.0]))
    def time_passes(self, passed_s: float) -> None:
        self.server_s += passed_s
        self.monotonic_s += passed_s
        self.wall_ms += round(passed_s * 1000)

    @rule(step_s=st.sampled_from([-3600.0, -61.0, -1.0, 1.0, 61.0, 3600.0]))
    def the_server_clock_jumps(self, step_s: float) -> None:
        self.server_s += step_s

    @rule(step_ms=st.sampled_from([-3_600_000, -61_000, -900, -1, 1, 900, 61_000, 3_600_000]))
    def the_wall_clock_jumps(self, step_ms: int) -> None:
        self.wall_ms = max(EPOCH_MS + 10**6, self.wall_ms + step_ms)

    @rule(which=st.integers(0, 9), step_ms=st.integers(-5000, 5000))
    def one_clock_jumps(self, which: int, step_ms: int) -> None:
        for process in self.processes[which : which + 1]:
            process.skew_ms += step_ms

    @invariant()
    def no_id_was_made_twice(self) -> None:
        assert len(self.made) == self.count


def _ends(call: object) -> bool:
    """Run a coroutine that never really waits; False when it raised Transient."""
    try:
        call.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return True
    except Transient:
        return False
    raise AssertionError("it waits")


Fleet.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestFleet = Fleet.TestCase
