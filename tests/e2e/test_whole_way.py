"""The whole way of a photo on the real stack: from presigned upload to every follower's feed."""

import io
import json

import pytest
from rich.console import Console
from rich.progress import Progress

from domain.settings import Settings
from ops import demo
from ops.demo.plan import write_script
from ops.demo.run import Show
from ops.demo.trouble import choose

PATIENCE_S = 270.0
"""Restarting every server on a machine that is busy with something else takes its time."""
pytestmark = pytest.mark.timeout(600)
ENGINES = ("redis", "kafka", "cassandra", "postgres", "s3", "search")


def show(uploads: int, seed: int, limit_s: float) -> Show:
    quiet = Progress(console=Console(file=io.StringIO()))
    return Show(write_script(uploads, seed), [], quiet, limit_s)


def test_every_photo_reaches_every_eligible_feed_once(settings: Settings) -> None:
    report = demo.run(settings, show(13, 11, 60.0), 11)
    assert report["ok"], report
    assert report["deliveries_seen"] == report["deliveries_expected"]
    assert (report["lost"], report["ghosts"], report["duplicates"]) == (0, 0, 0)
    written = json.loads((settings.run_dir / "demo-report.json").read_text())
    assert written["photos"] == 13
    assert set(written["upload_to_feed_ms"]) == {"p50", "p99"}


def test_kill_nine_of_own_processes_loses_nothing(settings: Settings) -> None:
    roles = [role for role in choose(settings.run_dir, ["all"]) if role not in (*ENGINES, "edge")]
    report = demo.run(settings, show(13, 12, PATIENCE_S), 12, roles)
    assert report["ok"], report


def test_kill_nine_of_servers_loses_nothing(settings: Settings) -> None:
    report = demo.run(settings, show(13, 13, PATIENCE_S), 13, [*ENGINES, "edge"])
    assert report["ok"], report
