"""The demo's judge: it must see what it is there to see."""

from collections.abc import Mapping, Sequence

import pytest

from ops.demo.check import compare
from ops.demo.plan import write_script
from ops.demo.report import quantile

AUTHORS = {"ph_1": "u_a", "ph_2": "u_b", "ph_3": "u_a"}
FOLLOWEES = {"u_r": frozenset({"u_a", "u_b"}), "u_s": frozenset({"u_b"}), "u_a": frozenset[str]()}
GOOD: Mapping[str, Sequence[tuple[str, str]]] = {
    "u_r": [("ph_3", "t3"), ("ph_2", "t2"), ("ph_1", "t1")],
    "u_s": [("ph_2", "t2")],
    "u_a": [],
}


def test_right_feeds_are_right() -> None:
    verdict = compare(AUTHORS, FOLLOWEES, GOOD)
    assert verdict.ok
    assert (verdict.expected, verdict.seen) == (4, 4)


@pytest.mark.parametrize(
    ("reader", "feed", "fault"),
    [
        ("u_r", [("ph_3", "t3"), ("ph_1", "t1")], "lost"),
        ("u_s", [], "lost"),
        ("u_s", [("ph_2", "t2"), ("ph_1", "t1")], "ghosts"),
        ("u_a", [("ph_1", "t1")], "ghosts"),
        ("u_s", [("ph_2", "t2"), ("ph_9", "t0")], "ghosts"),
        ("u_s", [("ph_2", "t2"), ("ph_2", "t2")], "duplicates"),
        ("u_r", [("ph_1", "t1"), ("ph_2", "t2"), ("ph_3", "t3")], "misordered"),
    ],
)
def test_a_planted_fault_is_seen(reader: str, feed: list[tuple[str, str]], fault: str) -> None:
    verdict = compare(AUTHORS, FOLLOWEES, {**GOOD, reader: feed})
    assert not verdict.ok
    assert getattr(verdict, fault)


def test_the_script_repeats_and_covers_the_edges() -> None:
    script = write_script(24, 7)
    assert script == write_script(24, 7)
    followers = [script.followers(person) for person in range(len(script.names))]
    assert set() in followers, "somebody has no followers"
    assert set() in [script.followees(person) for person in range(len(script.names))]
    assert all(a != b for a, b in script.follows)
    assert len(script.undone) == 3


def test_quantiles_are_nearest_rank() -> None:
    assert quantile([], 99) == 0.0
    assert quantile([5.0, 1.0, 3.0], 50) == 3.0
    assert quantile([float(n) for n in range(1, 101)], 99) == 99.0
