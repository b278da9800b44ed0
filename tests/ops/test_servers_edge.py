"""The edge as it is configured: a real nginx before a shield whose answers the test decides."""

import asyncio
import http.client
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from domain.errors import StoreAway, Transient
from domain.settings import Settings
from ops.servers import edge
from ops.servers.program import RunDir
from ops.servers.stack import is_ready
from stores.http_edge import HttpEdge

OFFSET = 6200
BODY = b"0123456789" * 10


class _Shield(BaseHTTPRequestHandler):
    """Answers `status` with BODY and notes what it was asked."""

    status = 200
    pause_s = 0.0
    asked: list[tuple[str, str | None]]
    refreshes: list[str | None]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        self.refreshes.append(self.headers["X-Refresh"])
        time.sleep(self.pause_s)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("Cache-Control", "public, max-age=31536000, immutable")
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(run_dir=tmp_path, port_offset=OFFSET)


@pytest.fixture
def shield(settings: Settings) -> Iterator[type[_Shield]]:
    handler = type("Shield", (_Shield,), {"asked": [], "refreshes": []})
    server = ThreadingHTTPServer(("127.0.0.1", settings.port("shield")), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    program = edge.program(settings, RunDir(settings.run_dir))
    program.prepare()
    nginx = subprocess.Popen(program.command, cwd=program.cwd)  # noqa: S603 - the edge's own command
    deadline = time.monotonic() + 10
    while not is_ready(program):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield handler
    nginx.terminate()
    nginx.wait(10)
    server.shutdown()
    server.server_close()
    thread.join()


def _get(
    settings: Settings, path: str, listener: str = "edge", method: str = "GET", **headers: str
) -> tuple[int, bytes, str | None]:
    connection = http.client.HTTPConnection("127.0.0.1", settings.port(listener), timeout=10)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["X-Cache"]
    finally:
        connection.close()


def test_a_second_reader_is_served_from_the_cache(
    settings: Settings, shield: type[_Shield]
) -> None:
    assert _get(settings, "/media/a") == (200, BODY, "MISS")
    assert _get(settings, "/media/a") == (200, BODY, "HIT")
    assert len(shield.asked) == 1


def test_what_is_cached_depends_on_the_path_alone(
    settings: Settings, shield: type[_Shield]
) -> None:
    _get(settings, "/media/a?x=1", Authorization="Bearer secret")
    assert _get(settings, "/media/a?x=2")[2] == "HIT"
    assert shield.asked == [("/media/a", None)]


def test_many_readers_of_a_new_image_are_one_question(
    settings: Settings, shield: type[_Shield]
) -> None:
    shield.pause_s = 0.3
    answers: list[int] = []
    readers = [
        threading.Thread(target=lambda: answers.append(_get(settings, "/media/a")[0]))
        for _ in range(12)
    ]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert answers == [200] * 12
    assert len(shield.asked) == 1


def test_a_refresh_replaces_a_deleted_image_for_everyone(
    settings: Settings, shield: type[_Shield]
) -> None:
    _get(settings, "/media/a")
    shield.status = 410
    assert _get(settings, "/media/a")[0] == 200, "nobody has told the edge yet"
    assert _get(settings, "/media/a", "edge_refresh")[0] == 410
    assert _get(settings, "/media/a")[::2] == (410, "HIT")


def test_only_the_internal_listener_says_that_it_refreshes(
    settings: Settings, shield: type[_Shield]
) -> None:
    _get(settings, "/media/a", **{"X-Refresh": "1"})
    _get(settings, "/media/a", "edge_refresh")
    assert shield.refreshes == [None, "1"]


async def test_a_purge_ends_when_readers_find_nothing(
    settings: Settings, shield: type[_Shield]
) -> None:
    edge_cache = HttpEdge(settings.url("edge"), settings.url("edge_refresh"))
    paths = ["/media/a", "/media/b"]
    for path in paths:
        assert _get(settings, path)[0] == 200
    with pytest.raises(Transient):
        await edge_cache.purge(paths)  # the shield still serves them
    shield.status = 410
    await edge_cache.purge(paths)
    assert [_get(settings, path)[::2] for path in paths] == [(410, "HIT")] * 2
    shield.status = 404
    await edge_cache.purge(paths)
    assert [_get(settings, path)[0] for path in paths] == [404] * 2
    shield.status = 500
    with pytest.raises(Transient):
        await edge_cache.refresh(paths)
    await edge_cache.close()


async def test_an_answer_that_was_on_its_way_does_not_outlive_the_purge(
    settings: Settings, shield: type[_Shield]
) -> None:
    edge_cache = HttpEdge(settings.url("edge"), settings.url("edge_refresh"))
    shield.pause_s = 0.4
    late = asyncio.create_task(asyncio.to_thread(_get, settings, "/media/a"))
    await asyncio.sleep(0.2)
    shield.pause_s, shield.status = 0.0, 410
    await edge_cache.purge(["/media/a"])
    await late
    await asyncio.sleep(0.1)
    assert _get(settings, "/media/a")[0] == 410
    await edge_cache.close()


async def test_an_edge_that_is_away_is_waited_for(settings: Settings) -> None:
    edge_cache = HttpEdge(settings.url("edge"), settings.url("edge_refresh"))
    with pytest.raises(StoreAway):
        await edge_cache.purge(["/media/a"])
    await edge_cache.close()


def test_readers_cannot_refresh(settings: Settings, shield: type[_Shield]) -> None:
    _get(settings, "/media/a")
    headers = {"X-Refresh": "1", "Cache-Control": "no-cache", "Pragma": "no-cache"}
    assert _get(settings, "/media/a", **headers)[2] == "HIT"
    assert len(shield.asked) == 1


def test_a_range_is_cut_from_the_whole(settings: Settings, shield: type[_Shield]) -> None:
    assert _get(settings, "/media/a", Range="bytes=10-14")[:2] == (206, b"01234")
    assert _get(settings, "/media/a")[1:] == (BODY, "HIT")
    assert len(shield.asked) == 1


def test_an_error_is_not_kept(settings: Settings, shield: type[_Shield]) -> None:
    shield.status = 503
    assert _get(settings, "/media/a")[0] == 503
    shield.status = 200
    assert _get(settings, "/media/a")[0] == 200


def test_only_reading_is_allowed(settings: Settings, shield: type[_Shield]) -> None:
    assert _get(settings, "/media/a", method="POST")[0] == 403
    assert _get(settings, "/media/a", method="DELETE", listener="edge_refresh")[0] == 403
    assert shield.asked == []
