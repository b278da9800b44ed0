"""PostgreSQL's outbox → follow.created, follow.deleted.

Run as `python -m streams.relay`. A row is deleted after Kafka has acknowledged it and never before:
a crash in between repeats an event, which edge versions make harmless. Several relays may run.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from domain.entities import OutboxRow
from domain.errors import Transient
from domain.ports.log import EventLog, Outbox
from domain.secrets import Secrets
from domain.settings import load
from stores.connect import Stores
from streams.runtime import logs
from streams.runtime.health import Heartbeat
from streams.runtime.metrics import RelayMetrics

BATCH = 500
POLL_S = 1.0
"""How soon a row is seen whose notification was lost."""

BEAT_S = 1.0
_log = structlog.get_logger()


@dataclass
class Relay:
    """Moves the outbox to Kafka until `stop` is set; waits for servers that are away."""

    outbox: Outbox
    events: EventLog
    stop: asyncio.Event
    ready: bool = False

    def __post_init__(self) -> None:
        self._metrics = RelayMetrics()
        self._retrying = AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            wait=wait_random_exponential(multiplier=0.1, max=3.0),
            stop=lambda _: self.stop.is_set(),
            sleep=self._sleep,
            before_sleep=self._away,
            reraise=True,
        )

    async def run(self) -> None:
        """Relay until stopped; a batch that has begun is finished first."""
        with suppress(Transient):  # stopped while a server was away
            while not self.stop.is_set():
                await self._retrying(self._step)

    async def _step(self) -> None:
        moved = await self.outbox.drain(self._publish, BATCH)
        self.ready = True
        self._metrics.moved(moved)
        self._metrics.waiting(*await self.outbox.depth())
        if moved < BATCH:
            await self.outbox.wait(POLL_S)

    async def _publish(self, rows: Sequence[OutboxRow]) -> None:
        """In the order of the rows, all under way at once; when one fails, none is deleted."""
        tasks = [
            asyncio.ensure_future(
                self.events.publish_raw(row.topic, row.key, row.payload, row.headers)
            )
            for row in rows
        ]
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            task.result()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), seconds)

    async def _away(self, state: RetryCallState) -> None:
        self.ready = False
        self._metrics.failed()
        if state.outcome is not None:
            _log.warning("relay.waits", error=str(state.outcome.exception()))


async def beat(relay: Relay, heart: Heartbeat) -> None:
    """Say every second whether the relay works, until it is stopped."""
    while not relay.stop.is_set():
        heart.beat(relay.ready)
        with suppress(TimeoutError):
            await asyncio.wait_for(relay.stop.wait(), BEAT_S)
    heart.stop()


async def main() -> None:
    """Relay until SIGTERM or SIGINT."""
    settings = load()
    logs.configure(settings.log_level, role="relay")
    stores = Stores(settings, Secrets.load(settings.run_dir))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    relay = Relay(stores.outbox, stores.events, stop)
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(beat(relay, Heartbeat(settings.run_dir, "relay")))
            tasks.create_task(relay.run())
    finally:
        await stores.close()


if __name__ == "__main__":
    asyncio.run(main())
