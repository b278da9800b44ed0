"""Where a call's time goes: what may wait in some ports, timed while the application runs here."""

import functools
import inspect
import time
from collections import defaultdict
from collections.abc import MutableMapping
from typing import Any

from stores.connect import Stores

Asgi = Any
_PORTS = ("timelines", "pulls", "shelf", "follow_cache", "post_cache", "reaction_cache", "follows")


class Spans:
    """Wall-clock seconds and calls by `port.method`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    def watch(self, stores: Stores) -> None:
        """Put a clock around the ports that a feed is read from."""
        for name in _PORTS:
            if hasattr(type(stores), name):
                stores.__dict__[name] = _Timed(getattr(stores, name), name, self)

    def clear(self) -> None:
        """Begin again: what warmed up doesn't count."""
        self.seconds.clear()
        self.calls.clear()


class _Timed:
    """A port whose coroutine methods are timed; everything else is passed through."""

    def __init__(self, port: object, name: str, spans: Spans) -> None:
        self._port, self._name, self._spans = port, name, spans

    def __getattr__(self, method: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, method)
        if not inspect.iscoroutinefunction(found):
            return found
        label = f"{self._name}.{method}"

        @functools.wraps(found)
        async def timed(*args: object, **named: object) -> Any:  # noqa: ANN401 - as above
            began = time.perf_counter()
            try:
                return await found(*args, **named)
            finally:
                self._spans.seconds[label] += time.perf_counter() - began
                self._spans.calls[label] += 1

        return timed


async def call(app: Asgi, path: str, token: str) -> int:
    """One GET of an application without a server between; the length of its answer."""
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {token}".encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    length = 0

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal length
        length += len(message.get("body", b""))

    await app(scope, receive, send)
    return length
