"""Order within a key, concurrency between keys, for one worker process.

A lane holds a share of what was read from one topic, the same keys always, and settles it one after
another. Lanes of the same *number* take turns across topics: topics of a stage have equal partition
counts and keys, so two records with one key are never handled at the same time.
"""

import asyncio
import time
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Place = tuple[str, int]
"""Topic and lane number, see `lane_of`."""

DEPTH = 256
"""Records a lane holds before the reader must wait."""


SIDE_BY_SIDE = 4
"""Lanes of one partition: a photo that takes seconds must not hold up all behind it."""


def lane_of(partition: int, key: bytes | None) -> int:
    """The lane of a record: one of its partition's few, the same for one key always."""
    return partition * SIDE_BY_SIDE + zlib.crc32(key or b"") % SIDE_BY_SIDE


class Work(Protocol[Item]):
    """What is done with each record."""

    async def hold(self, item: Item) -> None:
        """Wait until its time has come; other lanes go on meanwhile."""

    async def process(self, item: Item) -> None:
        """Settle it. An exception ends the whole worker."""

    async def acknowledge(self, items: list[Item]) -> None:
        """They are settled; those of one lane in order."""


@dataclass
class _Lane(Generic[Item]):
    queue: asyncio.Queue[Item] = field(default_factory=lambda: asyncio.Queue(DEPTH))
    task: asyncio.Task[None] | None = None
    busy_since: float | None = None


class Lanes(Generic[Item]):
    """All lanes of a worker.

    Args:
        work: what is done with each record.
        failed: told of an exception that left a lane; the lane is dead then.
        batch: acknowledge up to this many at once while more are waiting, 1 for each at once.
    """

    def __init__(
        self, work: Work[Item], failed: Callable[[BaseException], None], batch: int = 1
    ) -> None:
        self._work = work
        self._failed = failed
        self._batch = batch
        self._lanes: defaultdict[Place, _Lane[Item]] = defaultdict(_Lane)
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._closing = False

    async def put(self, place: Place, item: Item) -> None:
        """Hand a record to its lane; waits while that lane is full."""
        lane = self._lanes[place]
        if lane.task is None:
            lane.task = asyncio.create_task(self._run(place, lane), name=f"lane-{place}")
            lane.task.add_done_callback(self._ended)
        await lane.queue.put(item)

    def busy_s(self) -> float:
        """How long the record that is longest in hand has been there; 0 when none is."""
        now = time.monotonic()
        busy = (lane.busy_since for lane in self._lanes.values())
        return max((now - since for since in busy if since is not None), default=0.0)

    async def close(self, limit_s: float) -> bool:
        """Finish what is in hand and take up nothing more; False when that took too long."""
        self._closing = True
        running = []
        for lane in self._lanes.values():
            if lane.task is None:
                continue
            if lane.busy_since is None:
                lane.task.cancel()
            running.append(lane.task)
        if not running:
            return True
        _, late = await asyncio.wait(running, timeout=limit_s)
        for task in late:
            task.cancel()
        return not late

    async def _run(self, place: Place, lane: _Lane[Item]) -> None:
        settled: list[Item] = []
        while not self._closing:
            item = await lane.queue.get()
            await self._work.hold(item)
            async with self._turns[place[1]]:
                lane.busy_since = time.monotonic()
                await self._work.process(item)
            settled.append(item)
            if lane.queue.empty() or len(settled) >= self._batch or self._closing:
                await self._work.acknowledge(settled)
                settled.clear()
            lane.busy_since = None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)
