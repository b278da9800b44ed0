"""`python -m ops.console`: the operators' port. Metrics of all processes, health, one page.

It listens on loopback apart from the public port and writes nothing.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from domain import settings as settings_tree
from domain.errors import Transient
from domain.settings import Settings
from ops.console_page import MARK, page
from ops.lag import Looks, Observer, report, rows
from ops.lag_state import State
from ops.servers.stack import Stack
from ops.status import Row as Role
from ops.status import rows as roles

LOOK_EVERY_S = 5.0
STALE_S = 30.0
_METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
log = logging.getLogger("photofeed.console")


class Watcher:
    """Looks at the consumer groups again and again; the last two looks make the report."""

    def __init__(self, settings: Settings) -> None:
        self._observer = Observer(settings)
        self._before: Looks | None = None
        self._seen_at = float("-inf")
        self.document: dict[str, Any] | None = None

    @property
    def fresh(self) -> bool:
        """Whether Kafka answered lately."""
        return time.monotonic() - self._seen_at < STALE_S

    async def run(self) -> None:
        """Look until cancelled; a Kafka that is away is tried again."""
        while True:
            try:
                now = await asyncio.to_thread(self._observer.look)
            except Transient as error:
                log.warning("lag.unknown: %s", error)
            else:
                self.document = report(self._before or now, now)
                self._before, self._seen_at = now, time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)


class LagCollector(Collector):
    """The last report as metrics."""

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        self._groups = groups

    def collect(self) -> Iterable[Metric]:
        """Messages, seconds and well-being of each group on each topic."""
        labels = ("group", "topic")
        messages = GaugeMetricFamily(
            "photofeed_group_lag_messages", "Records that wait.", labels=labels
        )
        seconds = GaugeMetricFamily(
            "photofeed_group_lag_seconds", "Age of the oldest that waits.", labels=labels
        )
        well = GaugeMetricFamily("photofeed_group_ok", "1 when its state is OK.", labels=labels)
        for group in self._groups:
            values = (group["group"], group["topic"])
            messages.add_metric(values, group["lag_messages"])
            seconds.add_metric(values, group["lag_seconds"])
            well.add_metric(values, float(group["state"] == State.OK))
        return messages, seconds, well


class Console:
    """The routes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._watcher = Watcher(settings)

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self._page),
                Route("/metrics", self._metrics),
                Route("/health/live", self._live),
                Route("/health/ready", self._ready),
            ],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watcher.run(), name="lag-watcher")
        yield
        watching.cancel()

    async def _live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def _ready(self, _: Request) -> Response:
        ready = self._watcher.fresh
        state = {"ready": ready, "dependencies": {"kafka": "up" if ready else "away"}}
        return JSONResponse(state, 200 if ready else 503)

    async def _metrics(self, _: Request) -> Response:
        document = self._watcher.document if self._watcher.fresh else None
        exposed = await asyncio.to_thread(exposition, document)
        return Response(exposed, media_type=CONTENT_TYPE_LATEST)

    async def _page(self, _: Request) -> Response:
        found = await asyncio.to_thread(roles, Stack.of(self._settings))
        processes = [_process(role) for role in found]
        document = self._watcher.document
        note = (
            "" if self._watcher.fresh else "Kafka doesn't answer: its numbers are old or missing."
        )
        html = page(processes, None if document is None else rows(document), note)
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def _process(role: Role) -> dict[str, Any]:
    """A row of the page."""
    shown = dataclasses.asdict(role)
    shown["memory_mib"] = round(shown.pop("memory_bytes") / 2**20)
    return shown | {MARK: role.well}


def exposition(document: dict[str, Any] | None) -> bytes:
    """Every process's metrics and the groups' lag, in Prometheus' text format."""
    registry = CollectorRegistry()
    folder = os.environ.get(_METRICS_FOLDER)
    if folder and Path(folder).is_dir():
        _forget_dead(Path(folder))
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]  # theirs
    if document is not None:
        registry.register(LagCollector(document["groups"]))
    return generate_latest(registry)


def _forget_dead(folder: Path) -> None:
    """Gauges of processes that are gone, killed ones too, count no longer."""
    pids = {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*_*.db")}
    for pid in pids:
        if not psutil.pid_exists(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]  # theirs


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = settings_tree.load()
    uvicorn.run(
        Console(settings).app(),
        host="127.0.0.1",
        port=settings.port("ops"),
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    main()
