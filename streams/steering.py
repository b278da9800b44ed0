"""Writers of feeds measure; the adaptive threshold follows (`domain.threshold`).

Off by default. Every writer reports what it measured, and whoever comes first after a while moves
the threshold for all; so it works with any number of writers and needs no process of its own.
"""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from domain.errors import Transient
from domain.ports.graph import PushLimit
from domain.threshold import Bounds, Move, Why, WriterLoad, move
from schemas.events import FanoutChunk
from streams.delivery import LiveThreshold
from streams.runtime.metrics import PushMetrics
from streams.runtime.runner import now_ms

if TYPE_CHECKING:
    from stores.connect import Stores

REPORTS_A_STEP = 3
_OLDEST_S = 3600.0
"""What is older is a replay: it was late before this process had to do with it."""

_ENOUGH = 1_000
"""Feeds after which a writer's time for one is known; in less, waiting weighs more than writing."""

log = structlog.get_logger()


class Meter:
    """What this process measures while it writes chunks."""

    def __init__(
        self,
        clock: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._metrics = PushMetrics()
        self._in_hand: dict[str, FanoutChunk] = {}
        self._worst_s = 0.0
        self._busy_since = 0.0
        self._busy_s = 0.0
        self._feeds = 0
        self._write_s: float | None = None

    @asynccontextmanager
    async def writing(self, chunk: FanoutChunk, feeds: int) -> AsyncIterator[None]:
        """Around the writing of one chunk to so many feeds; chunks may overlap."""
        if not self._in_hand:
            self._busy_since = self._monotonic()
        self._in_hand[chunk.event_id] = chunk
        try:
            yield
            self._worst_s = max(self._worst_s, self._lag_s(chunk))
            self._feeds += feeds
            self._metrics.written(feeds)
            if not chunk.mark:
                self._metrics.fresh(self._age_s(chunk))
        finally:
            self._in_hand.pop(chunk.event_id, None)
            if not self._in_hand:
                self._busy_s += self._monotonic() - self._busy_since

    def read(self) -> WriterLoad:
        """What was measured since the last reading."""
        waiting = (self._lag_s(chunk) for chunk in self._in_hand.values())
        lag_s = max(self._worst_s, *waiting, 0.0)
        self._worst_s = 0.0
        now = self._monotonic()
        if self._in_hand:
            self._busy_s += now - self._busy_since
            self._busy_since = now
        if self._feeds >= _ENOUGH:
            self._write_s = self._busy_s / self._feeds
            self._feeds, self._busy_s = 0, 0.0
        return WriterLoad(lag_s, self._write_s)

    def _age_s(self, chunk: FanoutChunk) -> float:
        return max(0.0, (self._clock() - chunk.published_at) / 1000)

    def _lag_s(self, chunk: FanoutChunk) -> float:
        """The age as far as it says anything about the load."""
        age_s = self._age_s(chunk)
        return 0.0 if chunk.mark or age_s > _OLDEST_S else age_s


class Steering:
    """Reports for one writer, and moves the threshold when it is time.

    A step lasts as long as a post may take: by then what the last one did has been measured.
    """

    def __init__(
        self,
        limit: PushLimit,
        ceiling: LiveThreshold,
        lowest: int,
        freshness_s: float,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self.meter = Meter(clock)
        self._limit = limit
        self._ceiling = ceiling
        self._lowest = lowest
        self._freshness_s = freshness_s
        self._clock = clock
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Report from now on, until the process ends."""
        self._task = asyncio.create_task(self._keep_reporting(), name="steering")

    async def round(self) -> Move | None:
        """Report once and step if it is time; what was moved. Raises StoreAway, Transient."""
        load, now = self.meter.read(), self._clock()
        await self._limit.report(self._name, load, now)
        highest = await self._ceiling.followers()
        bounds = Bounds(min(self._lowest, highest), highest, self._freshness_s)

        def decide(current: int | None, loads: Sequence[WriterLoad]) -> Move:
            made = move(current or highest, loads, bounds)
            if made.why is not Why.STEADY:
                _tell(current or highest, made, loads)
            return made

        return await self._limit.step(now - round(self._freshness_s * 1000), now, decide)

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(self._freshness_s / REPORTS_A_STEP)
            try:
                await self.round()
            except Transient as error:
                log.warning("threshold.waits", error=str(error))


def _tell(was: int, made: Move, loads: Sequence[WriterLoad]) -> None:
    costs = [load.write_s for load in loads if load.write_s]
    log.info(
        "threshold.moved",
        why=str(made.why),
        was=was,
        followers=made.followers,
        lag_s=round(max((load.lag_s for load in loads), default=0.0), 3),
        write_us=round(sum(costs) / len(costs) * 1e6, 2) if costs else None,
        writers=len(loads),
    )


def fixed_threshold(stores: "Stores") -> LiveThreshold:
    """The threshold from which an author is flagged; the adaptive one stays below it."""
    return LiveThreshold(stores.celebrities, stores.settings.feed.celebrity_threshold)


def steering(stores: "Stores") -> Steering | None:
    """What a writer of feeds steers by; None with a fixed threshold."""
    feed = stores.settings.feed
    if not feed.adaptive_threshold:
        return None
    ceiling = fixed_threshold(stores)
    return Steering(stores.push_limit, ceiling, feed.adaptive_min, feed.freshness_s)
