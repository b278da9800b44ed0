"""An outside schema registry is given the committed ids, or says why it can't have them.

The stand-in speaks the part of Confluent's REST API that is used: subjects, versions, and ids that
count up. With PHOTOFEED_TEST_REGISTRY_URL set, a real registry (empty, or one
filled by these tests) is asked as well.
"""

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from domain.errors import StoreAway, Transient
from domain.settings import Settings
from ops.servers import start
from schemas.registry import committed
from stores.schema_registry import SchemaRegistry

REAL = os.environ.get("PHOTOFEED_TEST_REGISTRY_URL")


class StandIn(BaseHTTPRequestHandler):
    """Subjects and ids in memory."""

    ids: dict[tuple[str, str], int]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        _, _, subject, *rest = self.path.split("/")
        known = self.ids.get((subject, body["schema"]))
        if known is None and not rest:
            self.answer(404, {"error_code": 40403, "message": "Schema not found"})
            return
        if known is None:
            known = max(self.ids.values(), default=0) + 1
        self.ids[subject, body["schema"]] = known
        self.answer(200, {"id": known})

    def do_PUT(self) -> None:
        assert self.path.startswith("/config/")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert body == {"compatibility": "BACKWARD_TRANSITIVE"}
        self.answer(200, body)

    def answer(self, status: int, document: dict[str, Any]) -> None:
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.fixture
def stand_in() -> Iterator[tuple[str, dict[tuple[str, str], int]]]:
    """An empty registry's URL, and its ids by subject and schema text."""
    ids: dict[tuple[str, str], int] = {}
    handler = type("Handler", (StandIn,), {"ids": ids})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", ids
    server.shutdown()
    server.server_close()


@pytest.fixture(params=["stand-in", *(["real"] if REAL else [])])
def url(request: pytest.FixtureRequest, stand_in: tuple[str, Any]) -> str:
    return REAL if REAL and request.param == "real" else stand_in[0]


def test_filled_it_agrees_and_filling_again_changes_nothing(url: str) -> None:
    registry = SchemaRegistry(url)
    registry.fill(committed())
    assert registry.disagreements(committed()) == []
    registry.fill(committed())
    assert registry.disagreements(committed()) == []


def test_an_empty_registry_disagrees_line_by_line(stand_in: tuple[str, Any]) -> None:
    lines = SchemaRegistry(stand_in[0]).disagreements(committed())
    assert len(lines) == len(committed().entries)
    assert lines[0].startswith("upload.completed-value version 1: id 1 here, unknown at")


def test_one_that_counts_differently_is_refused(stand_in: tuple[str, Any]) -> None:
    address, ids = stand_in
    ids["theirs-value", '{"type": "string"}'] = 1000
    with pytest.raises(Transient, match="version 1: id 1 here, 1001 at"):
        SchemaRegistry(address).fill(committed())


def test_the_bring_up_fills_the_one_that_is_set(settings: Settings, url: str) -> None:
    start.apply_schemas(settings.model_copy(update={"schema_registry_url": url}))
    assert SchemaRegistry(url).disagreements(committed()) == []


def test_one_that_is_away_is_told() -> None:
    with pytest.raises(StoreAway):
        SchemaRegistry("http://127.0.0.1:1").fill(committed())
