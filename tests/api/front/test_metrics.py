"""What a process counts is in its files while it runs, soon, and all of it once it has ended."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from api import metrics
from tests.waiting import until

SERVER = """
import sys, uvloop
from api import metrics, server
from api.front.envelope import Envelope

async def app(scope, receive, send):
    metrics.BREAKER_STATE.labels("redis").set(2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})

uvloop.run(server.listen(Envelope(app), int(sys.argv[1]), metrics.FEED_SHED.inc))
"""
CALL = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that counts, and its port; it counts once more when it is told to stop."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = (sys.executable, "-c", SERVER, str(port))
    process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own text
    try:
        yield process, port
    finally:
        process.kill()
        process.wait()


def told(folder: Path, name: str) -> float | None:
    """The sum of a metric's values in the files of all processes."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call] # the library's
    values = [s.value for m in registry.collect() for s in m.samples if s.name == name]
    return sum(values) if values else None


def call(port: int) -> bool:
    """One call; whether it was answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(CALL)
            return client.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


async def test_counts_are_told_within_moments_and_none_is_lost_at_the_end(
    server: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, port = server

    async def answers() -> bool:
        return call(port)

    await until(answers)
    assert all(call(port) for _ in range(20))

    async def all_are_told() -> bool:
        return told(tmp_path, "http_requests_total") == 21

    await until(all_are_told, 2)
    assert told(tmp_path, "http_request_duration_seconds_count") == 21
    assert told(tmp_path, "http_requests_in_flight") == 0
    assert told(tmp_path, "photofeed_store_breaker_state") == 2
    assert told(tmp_path, "photofeed_feed_reads_shed_total") == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) is not None
    assert told(tmp_path, "http_requests_total") == 21
    assert told(tmp_path, "photofeed_feed_reads_shed_total") == 1


@pytest.mark.parametrize(("share", "told_of"), [(0.0, 0), (1.0, 1)])
def test_a_share_of_the_steps_is_timed(
    share: float, told_of: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_TIMED", share)
    name, labels = "photofeed_feed_read_step_seconds_count", {"step": "set"}
    before = REGISTRY.get_sample_value(name, labels) or 0
    with metrics.feed_step("set"):
        pass
    assert (REGISTRY.get_sample_value(name, labels) or 0) - before == told_of
