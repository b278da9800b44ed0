"""`stage.traced`: what every stage did to a photo and how long it took, best effort.

Nothing waits for it and nothing fails with it: a full queue or a failed write drops the line.
"""

import asyncio
import contextlib

from domain.errors import Transient
from domain.ids import derived
from domain.ports.log import EventLog
from schemas.events import Event, StageTraced
from streams.runtime.metrics import Outcome
from topics import catalog as t
from topics.record import Record

PHOTOS_WAY = (t.UPLOAD_COMPLETED, t.PHOTO_PROCESSED, t.POST_PUBLISHED, t.FANOUT_CHUNK)
"""The topics whose events belong to one photo's way from upload to feed."""

_QUEUE = 1000
_TOPICS = frozenset(topic.event for topic in PHOTOS_WAY)


class TraceLog:
    """Writes StageTraced events behind the stage's back."""

    def __init__(self, stage: str, events: EventLog) -> None:
        self._stage = stage
        self._events = events
        self._queue: asyncio.Queue[StageTraced] = asyncio.Queue(_QUEUE)
        self._writer: asyncio.Task[None] | None = None

    def tell(self, record: Record, event: Event, outcome: Outcome, began: int, now: int) -> None:
        """Queue one line, if the event is part of a photo's way. Times in Unix milliseconds."""
        if type(event) not in _TOPICS:
            return
        line = StageTraced(
            event_id=derived(event.event_id, self._stage),
            occurred_at=now,
            version=event.version,
            photo_id=str(getattr(event, "photo_id", None) or getattr(event, "post_id", "")),
            stage=self._stage,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            wait_ms=max(0, began - record.timestamp_ms),
            work_ms=max(0, now - began),
            outcome=outcome,
        )
        self._writer = self._writer or asyncio.create_task(self._write(), name="trace-log")
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(line)

    async def _write(self) -> None:
        while True:
            line = await self._queue.get()
            with contextlib.suppress(Transient):
                await self._events.publish(t.STAGE_TRACED, line)
