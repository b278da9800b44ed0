"""Kafka as the commit: an awaited call means that all in-sync replicas have the record.

librdkafka's own asyncio producer takes no headers, so this is its plain one with a thread that
polls for delivery reports and hands each burst of them to the event loop at once.
"""

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from domain.errors import StoreAway, Transient
from topics.topic import E, Topic

DELIVERY_LIMIT_S = 10.0
PING_LIMIT_S = 1.3
_POLL_S = 0.5
_QUIET = logging.getLogger("photofeed.kafka")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False  # the client prints a line per failed connect; our error says it once

_AWAY = {
    KafkaError._MSG_TIMED_OUT,  # noqa: SLF001 - the library's public constants are spelt so
    KafkaError._TIMED_OUT,  # noqa: SLF001 - as above
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - as above
    KafkaError._TRANSPORT,  # noqa: SLF001 - as above
    KafkaError._PURGE_QUEUE,  # noqa: SLF001 - as above
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.BROKER_NOT_AVAILABLE,
}
Report = tuple["asyncio.Future[None]", KafkaError | None]


class KafkaEventLog:
    """EventLog (domain/ports/). Belongs to the event loop of its first call.

    Records of one partition are written in the order of the calls. Raises StoreAway when nobody
    acknowledged within DELIVERY_LIMIT_S (the record may be there nevertheless: events are safe to
    repeat) and Transient for any other failure.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._link: _Link | None = None

    async def publish(
        self, topic: Topic[E], event: E, headers: Mapping[str, bytes] | None = None
    ) -> None:
        """Encode, partition by murmur2 of the key, wait for the acknowledgement."""
        value = topic.codec.encode(event)
        await self.publish_raw(topic.name, topic.key_of(event), value, [*(headers or {}).items()])

    async def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int | None = None,
    ) -> None:
        """Write bytes as they are (retries, dead letters, replays)."""
        if self._link is None:
            self._link = _Link(self._bootstrap)
        link = self._link
        try:
            await link.send(topic, key, value, headers, timestamp_ms or 0)
        except KafkaException as failure:
            error: KafkaError = failure.args[0]
            if error.fatal() or error.code() == KafkaError._FATAL:  # noqa: SLF001 - as above
                await self._replace(link)
            raise _named(error) from failure
        except BufferError as failure:
            raise StoreAway("kafka: the producer's queue is full") from failure

    async def ping(self) -> None:
        """Ask the broker for its metadata. Raises StoreAway within PING_LIMIT_S."""
        if self._link is None:
            self._link = _Link(self._bootstrap)
        try:
            await asyncio.to_thread(self._link.ask_metadata)
        except KafkaException as failure:
            raise StoreAway(f"kafka: {failure.args[0].str()}") from failure

    async def close(self) -> None:
        """Deliver what is under way, within DELIVERY_LIMIT_S, and stop."""
        if self._link is not None:
            await self._replace(self._link)

    async def _replace(self, link: "_Link") -> None:
        """Drop a producer for good: after a fatal error it would refuse everything."""
        if self._link is link:
            self._link = None
            await asyncio.to_thread(link.close)


class _Link:
    """One producer and the thread that serves its delivery reports."""

    def __init__(self, bootstrap: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._reports: list[Report] = []
        self._closing = threading.Event()
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "acks": "all",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",  # as Faust: tables stay co-partitioned
                "linger.ms": 5,
                "compression.type": "gzip",  # aiokafka reads no other without an extra library
                "delivery.timeout.ms": round(DELIVERY_LIMIT_S * 1000),
                "reconnect.backoff.max.ms": 1000,
            },
            logger=_QUIET,
        )
        self._thread = threading.Thread(target=self._serve, name="kafka-reports", daemon=True)
        self._thread.start()

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        timestamp_ms: int,
    ) -> None:
        """Hand over and wait for the report. Raises KafkaException, BufferError."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._producer.produce(
            topic,
            value,
            key,
            on_delivery=partial(self._reported, future),
            timestamp=timestamp_ms,
            headers=list(headers),
        )
        await future

    def ask_metadata(self) -> None:
        """Wait for the broker's list of topics. Raises KafkaException."""
        self._producer.list_topics(timeout=PING_LIMIT_S)

    def close(self) -> None:
        """End the thread and flush; what isn't delivered in time is reported as purged."""
        self._closing.set()
        self._thread.join()
        if self._producer.flush(DELIVERY_LIMIT_S):
            self._producer.purge()
            self._producer.flush(_POLL_S)
        self._hand_over()

    def _serve(self) -> None:
        while not self._closing.is_set():
            self._producer.poll(_POLL_S)
            self._hand_over()

    def _reported(
        self, future: "asyncio.Future[None]", error: KafkaError | None, _: Message
    ) -> None:
        self._reports.append((future, error))

    def _hand_over(self) -> None:
        reports, self._reports = self._reports, []
        if reports and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_settle, reports)


def _settle(reports: Sequence[Report]) -> None:
    for future, error in reports:
        if future.done():  # its caller was cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(KafkaException(error))


def _named(error: KafkaError) -> Transient:
    if error.fatal() or error.retriable() or error.code() in _AWAY:
        return StoreAway(f"kafka: {error.str()}")
    return Transient(f"kafka: {error.str()}")
