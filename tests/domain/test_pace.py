"""Background work backs off at once, comes back by and by, and never stops."""

import pytest

from domain.pace import Load, Pace, p99

IDLE, BEHIND, SLOW = Load(0.0, 0.001), Load(60.0, 0.001), Load(0.0, 1.0)


@pytest.mark.parametrize("busy", [BEHIND, SLOW])
def test_lag_and_slow_reads_halve_the_rate(busy: Load) -> None:
    pace = Pace.start(100.0)
    assert pace.after(busy).rate == pace.rate / 2


def test_it_never_stops_and_never_passes_what_was_asked_for() -> None:
    for most in (0.2, 1.0, 500.0):
        pace = Pace.start(most)
        for _ in range(50):
            pace = pace.after(BEHIND)
        assert pace.rate == min(1.0, most)
        for _ in range(50):
            pace = pace.after(IDLE)
        assert pace.rate == most


def test_p99_is_what_the_slowest_hundredth_exceeds() -> None:
    assert p99([]) == 0.0
    assert p99([0.5]) == 0.5
    assert p99([0.001] * 98 + [9.0, 9.0]) == 9.0
