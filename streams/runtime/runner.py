"""The one way an event is settled: decode, handle, publish, or put where it will be looked at.

`process` returns when the record is safe to acknowledge and raises when it must not be:

* bytes no schema reads, Unrecoverable → `<group>.dlq`, byte for byte (`dead_letters.py`);
* Transient → `tries` calls with growing, jittered waits, then `<group>.retry`, `rounds` times, then
  the dead letters with reason `retries_exhausted`;
* StoreAway → wait for the server up to `away_limit_s`; costs no tries and fills no retry topic;
* anything else → raised, the worker stops, the offset stays.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential_jitter,
)

from domain.errors import Reason, StoreAway, Transient, Unrecoverable
from domain.ports.log import EventLog
from domain.settings import Retries
from schemas.codec import BadAvro
from schemas.events import Event
from streams.runtime import dead_letters, tracing
from streams.runtime.dead_letters import Failure
from streams.runtime.flood import Flood
from streams.runtime.metrics import Outcome, StageMetrics
from streams.runtime.stage import Concludes, Handler, Stage
from streams.runtime.trace_log import TraceLog
from topics.record import Headers, Record

T = TypeVar("T")
log = structlog.get_logger()


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


class StageRunner:
    """Settles the records of one stage. Nothing here knows who consumes them."""

    def __init__(
        self,
        stage: Stage,
        handler: Handler,
        events: EventLog,
        retries: Retries,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._stage = stage
        self._handler = handler
        made: object = handler
        self._concludes = made if isinstance(made, Concludes) else None
        self._events = events
        self._retries = retries
        self._clock = clock
        self._metrics = StageMetrics(stage.name)
        self._codecs = {topic.name: topic.codec for topic in stage.reads}
        self._traces = TraceLog(stage.name, events)
        self._flood = Flood()

    def wait_s(self, record: Record) -> float:
        """How long a record of the retry topic still has to wait; at most one round's delay."""
        if record.topic != self._stage.retry.name:
            return 0.0
        left_s = (self._past(record).not_before - self._clock()) / 1000
        return min(max(left_s, 0.0), self._retries.round_delay_s)

    async def process(self, record: Record) -> None:
        """Settle a record; it may be acknowledged when this returns.

        Raises:
            StoreAway: a server stayed away longer than `away_limit_s`.
            Flooded: too many dead letters; this one was not written.
            Exception: whatever unforeseen the handler raised.
        """
        began = self._clock()
        past = self._past(record)
        event: Event | None = None
        try:
            event = self._decode(record, past)
            await self._handled(event, record.headers)
            outcome = Outcome.DONE
        except Unrecoverable as error:
            outcome = await self._bury(record, self._failed(past, error, 1), error.reason)
        except StoreAway:
            raise
        except Transient as error:
            failure = self._failed(past, error, self._retries.tries)
            outcome = await self._put_off(record, failure)
        if outcome is not Outcome.DEAD:
            self._flood.count(self._clock(), dead=False)
        self._tell(record, event, outcome, began)

    def _past(self, record: Record) -> Failure:
        told = None
        if record.topic == self._stage.retry.name:
            try:
                told = dead_letters.read(record.headers)
            except ValueError:  # not our headers: it is undecodable below, under its own name
                log.warning("retry.headers", topic=record.topic, offset=record.offset)
        return told or Failure.none_yet(record)

    def _decode(self, record: Record, past: Failure) -> Event:
        codec = self._codecs.get(past.source_topic)
        if codec is None:
            raise Unrecoverable(Reason.BAD_AVRO, f"no topic of this stage: {past.source_topic}")
        try:
            event: Event = codec.decode(record.value)
        except BadAvro as error:
            raise Unrecoverable(Reason.BAD_AVRO, str(error)) from error
        return event

    async def _handled(self, event: Event, headers: Headers) -> None:
        """Call the handler and publish what it emits, again while that may help."""

        async def attempt() -> None:
            emits = await self._handler(event)
            trace = {tracing.HEADER: tracing.child_of(headers)}
            await asyncio.gather(*(self._events.publish(e.topic, e.event, trace) for e in emits))
            if self._concludes is not None:
                await self._concludes.conclude(event, emits)

        async def attempt_once_servers_answer() -> None:
            await self._patiently(attempt)

        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=self._backoff(),
            stop=stop_after_attempt(self._retries.tries),
            before_sleep=lambda _: self._metrics.tried_again(),
            reraise=True,
        )
        await retrying(attempt_once_servers_answer)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call, and while a server is away wait for it, up to the limit."""
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(StoreAway),
            wait=self._backoff(),
            stop=stop_after_delay(self._retries.away_limit_s),
            before_sleep=self._told_away,
            reraise=True,
        )
        return await retrying(call)

    def _backoff(self) -> Any:  # noqa: ANN401 - tenacity's wait strategies share no public type
        base, cap = self._retries.base_s, self._retries.cap_s
        return wait_exponential_jitter(multiplier=base, max=cap, jitter=base)

    def _told_away(self, state: RetryCallState) -> None:
        if state.attempt_number == 1 and state.outcome is not None:
            log.warning("store.away", stage=self._stage.name, error=str(state.outcome.exception()))

    def _failed(self, past: Failure, error: Exception, attempts: int) -> Failure:
        named = replace(past, group=self._stage.name, stage=self._stage.name)
        return named.failed(error, attempts=attempts, now=self._clock())

    async def _put_off(self, record: Record, failure: Failure) -> Outcome:
        """To the retry topic, or to the dead letters after the last round."""
        if failure.rounds >= self._retries.rounds:
            return await self._bury(record, failure, Reason.RETRIES_EXHAUSTED)
        delay_ms = self._retries.round_delay_s * 1000 * random.uniform(0.8, 1.0)  # noqa: S311 - jitter
        later = replace(
            failure, rounds=failure.rounds + 1, not_before=self._clock() + round(delay_ms)
        )
        log.warning("event.retry", stage=self._stage.name, error=failure.message, **_place(failure))
        await self._move(record, self._stage.retry.name, later)
        return Outcome.RETRY

    async def _bury(self, record: Record, failure: Failure, reason: Reason) -> Outcome:
        """To the dead letters, unless they have become a flood."""
        self._flood.count(self._clock(), dead=True)
        log.error(
            "event.dead",
            stage=self._stage.name,
            reason=str(reason),
            error=failure.message,
            **_place(failure),
        )
        final = replace(failure, reason=str(reason), not_before=0)
        await self._move(record, self._stage.dead_letters.name, final)
        self._metrics.dead_letter(reason)
        return Outcome.DEAD

    async def _move(self, record: Record, topic: str, failure: Failure) -> None:
        """Write the record elsewhere with its own bytes and our headers behind."""
        headers = dead_letters.original(record.topic, record.headers) + failure.headers()

        async def write() -> None:
            await self._events.publish_raw(
                topic, record.key, record.value, headers, record.timestamp_ms
            )

        await self._patiently(write)

    def _tell(self, record: Record, event: Event | None, outcome: Outcome, began: int) -> None:
        now = self._clock()
        self._metrics.settled(
            record.topic,
            outcome,
            handle_s=(now - began) / 1000,
            age_s=max(0, now - record.timestamp_ms) / 1000,
        )
        if event is not None:
            self._traces.tell(record, event, outcome, began, now)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, Transient) and not isinstance(error, StoreAway)


def _place(failure: Failure) -> dict[str, str | int]:
    return {
        "topic": failure.source_topic,
        "partition": failure.source_partition,
        "offset": failure.source_offset,
    }
