"""`python -m streams.worker <stage> [--index n]`: one process of one stage.

Faust reads and owns offsets and tables; `runtime` decides what becomes of each record. The worker
is crash-only: whatever goes wrong ends the process at once with exit code 1, the offset unmoved,
and the supervisor starts it again; only a flood of dead letters stops it until somebody looks.
SIGTERM finishes and commits what is in hand and ends with 0.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
import weakref
from collections.abc import Awaitable
from functools import partial
from typing import Any, NoReturn

import structlog
from faust.streams import _current_event
from faust.types import EventT, StreamT

from domain.errors import Transient
from domain.secrets import Secrets
from domain.settings import Settings, SettingsError, load
from stores.connect import Stores
from streams.faust_app import DurableTables, RawBytes, make_app
from streams.runtime import logs
from streams.runtime.flood import EXIT_CODE, Flooded
from streams.runtime.health import Heartbeat
from streams.runtime.lanes import DEPTH, Lanes, lane_of
from streams.runtime.metrics import StageMetrics, forget_process
from streams.runtime.runner import StageRunner
from streams.runtime.stage import Prepares, Recovers, Stage
from streams.topology import BY_NAME
from topics.record import Record

START_LIMIT_S = 60.0
"""For both preparations and Faust's own start together."""
PREPARE_LIMIT_S = 15.0
"""For connecting, and for a handler's own preparations, before the first event is read."""
FINISH_LIMIT_S = 6.0
"""For what is in hand at SIGTERM."""
LEAVE_LIMIT_S = 3.0
"""For committing it and for Faust's own stopping; what isn't committed then comes again."""
SILENCE_LIMIT_S = 60.0
"""Without any answer from the broker and nothing in hand, the process is taken for hung."""
HAND_LIMIT_S = 900.0
"""A record in hand for longer than every limit below it together: hung too."""

Event = EventT[Any]
log = structlog.get_logger()


class Worker:
    """One stage's Faust application and the lanes that settle what it reads."""

    def __init__(self, stage: Stage, settings: Settings, stores: Stores, index: int) -> None:
        self._stage = stage
        self._stores = stores
        self._app = make_app(stage, settings, index)
        self._tables = DurableTables(self._app, stage)
        handler = stage.make(stores, self._tables.by_name())
        made: object = handler
        if isinstance(made, Recovers):
            self._tables.on_recovered(partial(self._recovered, made))
        self._prepares = made if isinstance(made, Prepares) else None
        self._runner = StageRunner(stage, handler, stores.events, stage.retries(settings))
        self._lanes: Lanes[Event] = Lanes(self, die, batch=DEPTH if stage.tables else 1)
        self._metrics = StageMetrics(stage.name)
        self._heart = Heartbeat(settings.run_dir, f"worker-{stage.name}-{index}")
        self._last_answer = time.time()
        self._in_hand: dict[tuple[Any, int | None], dict[int, Event | None]] = {}
        for topic in (*(topic.name for topic in stage.reads), stage.retry.name):
            self._read(topic)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then finish what is in hand, commit and leave the group."""
        pulse = asyncio.create_task(self._pulse(), name="pulse")
        pulse.add_done_callback(_die_with)
        async with asyncio.timeout(START_LIMIT_S):
            await _unless_away(self._stores.connect())
            if self._prepares is not None:
                await _unless_away(self._prepares.prepare())
            await self._app.start()
        await stop.wait()
        pulse.cancel()
        finished = await self._lanes.close(FINISH_LIMIT_S)
        log.info("worker.stopping", finished=finished)
        self._heart.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_LIMIT_S):
                await self._app.consumer.commit()
                await self._app.stop()

    # --- what the lanes do with each event ------------------------------------------------------

    async def hold(self, item: Event) -> None:
        """Wait until a retried event may be tried again."""
        if (wait_s := self._runner.wait_s(_record(item))) > 0:
            await asyncio.sleep(wait_s)

    async def process(self, item: Event) -> None:
        """Settle an event, unless its partition was taken away meanwhile: it comes again."""
        if self._is_current(item):
            _current_event.set(weakref.ref(item))  # the tables take the partition from it
            await self._runner.process(_record(item))

    async def acknowledge(self, items: list[Event]) -> None:
        """Let the offsets move, once the tables' changelogs have what the events wrote."""
        await self._tables.flushed()
        for item in items:
            self._ack_in_order(item)

    def _ack_in_order(self, item: Event) -> None:
        """Acknowledge what is settled up to the first event of the partition still in hand.

        Faust commits the first run of acknowledged offsets even if an earlier one is missing.
        """
        key = item.message.tp, item.message.generation_id
        if not self._is_current(item):
            self._in_hand.pop(key, None)
            return
        hand = self._in_hand[key]
        hand[item.message.offset] = item
        while hand and (settled := hand[first := next(iter(hand))]) is not None:
            settled.ack()
            del hand[first]

    # --------------------------------------------------------------------------------------------

    def _read(self, name: str) -> None:
        async def agent(stream: StreamT[bytes]) -> None:
            reading: Any = stream  # faust's interface type has no `noack`
            async for event in reading.noack().events():
                message = event.message
                key = message.tp, message.generation_id
                self._in_hand.setdefault(key, {})[message.offset] = None
                await self._lanes.put((name, lane_of(message.partition, message.key)), event)

        topic = self._app.topic(name, schema=RawBytes())
        self._app.agent(topic, name=f"read-{name}")(agent)

    def _is_current(self, event: Event) -> bool:
        return bool(event.message.generation_id == self._app.consumer_generation_id)

    async def _recovered(self, handler: Recovers) -> None:
        try:
            handler.recovered()
        except Exception as error:  # noqa: BLE001 - faust would swallow it and go on
            die(error)

    async def _pulse(self) -> None:
        """Beat every second; end the process when Faust crashed or nothing moves any more."""
        while True:
            ready = self._app.rebalancing_count > 0 and not self._app.rebalancing
            self._heart.beat(ready)
            self._metrics.up(ready)
            if self._app.crashed:
                die(self._app.crash_reason or RuntimeError("faust crashed"))
            if (busy_s := self._lanes.busy_s()) > HAND_LIMIT_S:
                die(TimeoutError(f"an event has been in hand for {busy_s:.0f} s"))
            self._last_answer = max(self._last_answer, self._answered_at(ready))
            if not busy_s and time.time() - self._last_answer > SILENCE_LIMIT_S:
                die(TimeoutError(f"no answer from the broker for {SILENCE_LIMIT_S:.0f} s"))
            await asyncio.sleep(1.0)

    def _answered_at(self, ready: bool) -> float:
        """When the broker last answered a fetch (Unix seconds), 0 if never."""
        thread: Any = self._app.consumer
        consumer = thread._thread._consumer  # noqa: SLF001 - aiokafka's; there is no public way
        subscription = consumer and consumer._subscription.subscription  # noqa: SLF001 - as above
        assignment = subscription and subscription.assignment
        if not assignment:
            return 0.0
        if ready and not assignment.tps:
            return time.time()  # more workers than partitions: nothing to fetch
        states = (assignment.state_value(tp) for tp in assignment.tps)
        return max((state.timestamp or 0 for state in states if state), default=0) / 1000


async def _unless_away(preparing: Awaitable[None]) -> None:
    """Do what the first event would wait for; a store that is away is waited for by the events."""
    with contextlib.suppress(Transient, TimeoutError):
        async with asyncio.timeout(PREPARE_LIMIT_S):
            await preparing


def die(error: BaseException) -> NoReturn:
    """End the process at once: nothing that was not acknowledged is lost by that."""
    log.critical("worker.died", exc_info=error)
    _leave(EXIT_CODE if isinstance(error, Flooded) else 1)


def _die_with(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        die(error)


def _leave(code: int) -> NoReturn:
    """Without waiting for the threads of client libraries."""
    forget_process()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _record(event: Event) -> Record:
    message = event.message
    headers: Any = message.headers or ()  # pairs, as aiokafka gives them
    return Record(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        tuple(headers),
        round(message.timestamp * 1000),
    )


def run(stage: Stage, settings: Settings, index: int) -> NoReturn:
    """Be one worker of `stage` until SIGTERM or SIGINT, then exit 0; exit 1 if anything fails."""
    logs.configure(settings.log_level, worker=f"{stage.name}-{index}")
    try:
        asyncio.run(_serve(stage, settings, index))
    except Exception as error:  # noqa: BLE001 - the last line of defence, logged and fatal
        die(error)
    _leave(0)


async def _serve(stage: Stage, settings: Settings, index: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stores = Stores(settings, Secrets.load(settings.run_dir))
    await Worker(stage, settings, stores, index).run(stop)
    await stores.close()


def main(arguments: list[str] | None = None) -> NoReturn:
    """The command line; exit codes 0 stopped, 1 died, 2 bad usage."""
    parser = argparse.ArgumentParser(prog="streams.worker", description=__doc__)
    parser.add_argument("stage", choices=sorted(BY_NAME))
    parser.add_argument("--index", type=int, default=0, help="which of the stage's workers, from 0")
    given = parser.parse_args(arguments)
    try:
        settings = load()
    except SettingsError as error:
        parser.error(str(error))
    run(BY_NAME[given.stage], settings, given.index)


if __name__ == "__main__":
    main()
