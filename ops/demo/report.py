"""The demo's result: `demo-report.json` and the table on the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from ops.demo.check import Verdict

_FULL = 99


def quantile(samples: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile; 0.0 of nothing."""
    if not samples:
        return 0.0
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(samples: Sequence[float]) -> dict[str, float]:
    """p50 and p99 of milliseconds."""
    return {"p50": round(quantile(samples, 50), 1), "p99": round(quantile(samples, _FULL), 1)}


@dataclass(slots=True)
class Measured:
    """What was measured while the demo ran, milliseconds."""

    upload_to_ready: list[float] = field(default_factory=list)
    upload_to_feed: list[float] = field(default_factory=list)
    feed_read: list[float] = field(default_factory=list)
    stages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def document(
    verdict: Verdict, measured: Measured, cast: Mapping[str, int], wrong_counts: Sequence[str]
) -> dict[str, Any]:
    """The report in the contract's shape, with what else is worth knowing."""
    return {
        "ok": verdict.ok and not wrong_counts,
        "photos": cast["photos"],
        "users": cast["users"],
        "follows": cast["follows"],
        "deliveries_expected": verdict.expected,
        "deliveries_seen": verdict.seen,
        "lost": len(verdict.lost),
        "ghosts": len(verdict.ghosts),
        "duplicates": len(verdict.duplicates),
        "misordered": len(verdict.misordered),
        "wrong_counts": list(wrong_counts),
        "upload_to_ready_ms": spread(measured.upload_to_ready),
        "upload_to_feed_ms": spread(measured.upload_to_feed),
        "feed_read_ms": spread(measured.feed_read),
        "stages_ms": dict(measured.stages),
    }


def show(console: Console, report: Mapping[str, Any]) -> None:
    """Print the table."""
    times = Table(title="How long it took (ms)", title_justify="left")
    for heading in ("what", "p50", "p99"):
        times.add_column(heading, justify="left" if heading == "what" else "right")
    for label, key in (
        ("complete → published", "upload_to_ready_ms"),
        ("complete → in a follower's feed", "upload_to_feed_ms"),
        ("reading a feed", "feed_read_ms"),
    ):
        times.add_row(label, f"{report[key]['p50']:.0f}", f"{report[key]['p99']:.0f}")
    times.add_section()
    for stage, figures in report["stages_ms"].items():
        times.add_row(
            f"{stage}: waiting and work", f"{figures['p50']:.0f}", f"{figures['p99']:.0f}"
        )
    console.print(times)
    console.print(
        f"{report['photos']} photos by {report['users']} people, {report['follows']} follows: "
        f"{report['deliveries_seen']} of {report['deliveries_expected']} deliveries seen, "
        f"lost {report['lost']}, ghosts {report['ghosts']}, duplicates {report['duplicates']}",
        soft_wrap=True,
    )
    for line in report["wrong_counts"]:
        console.print(f"wrong count: {line}", soft_wrap=True)
