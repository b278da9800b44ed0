"""The operators' console: health, metrics of all processes, and a page people can read."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from domain.settings import Settings
from ops.console import Console, exposition
from ops.console_page import page
from streams.topology import TOPOLOGY

WRITER = """
from prometheus_client import Counter, Gauge
Counter("photofeed_test_things", "Things.").inc(3)
Gauge("photofeed_test_alive", "Alive.", multiprocess_mode="livesum").set(1)
"""


@pytest.fixture(scope="module")
def console(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a console of this test's own, on any free port."""
    server = uvicorn.Server(uvicorn.Config(Console(settings).app(), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        port = listener.getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
        server.should_exit = True
        thread.join()


def until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + 30
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_it_is_live_before_it_is_ready(console: httpx.Client) -> None:
    assert console.get("/health/live").json() == {"live": True}
    until_ready(console)
    assert console.get("/health/ready").json()["dependencies"] == {"kafka": "up"}


def test_lag_of_every_stage_is_a_metric(console: httpx.Client) -> None:
    until_ready(console)
    answer = console.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    for stage in TOPOLOGY:
        labels = f'group="{stage.name}",topic="{stage.retry.name}"'
        assert f"photofeed_group_lag_messages{{{labels}}}" in answer.text


def test_the_page_shows_processes_and_groups_and_runs_no_script(console: httpx.Client) -> None:
    until_ready(console)
    answer = console.get("/")
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    for word in ("supervisor", "kafka", *(stage.name for stage in TOPOLOGY)):
        assert word in answer.text


def test_text_from_elsewhere_is_escaped() -> None:
    group = {"group": "<script>", "state": "OK", "why": "a & b"}
    html = page([{"role": "x", "well": True}], [group], "<note>")
    assert "<script>" not in html
    assert "a &amp; b" in html
    assert "&lt;note&gt;" in html


def test_values_of_dead_processes_count_but_they_are_not_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", WRITER], check=True)  # noqa: S603 - our own text
    text = exposition(None).decode()
    assert "photofeed_test_things_total 6.0" in text
    assert "photofeed_test_alive 1.0" not in text
