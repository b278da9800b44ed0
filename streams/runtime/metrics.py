"""Every metric of the stages, in one place: base units, no ids of people or photos in labels.

With PROMETHEUS_MULTIPROC_DIR in the environment the values live in files there, and one process
answers for all of them; without it they are this process's own.
"""

import os
from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram, multiprocess

_EVENTS = Counter("photofeed_stage_events", "Events settled.", ("stage", "outcome"))
_HANDLE = Histogram(
    "photofeed_stage_handle_seconds",
    "From reading an event to its effects being durable, waits for servers that are away included.",
    ("stage",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
_RETRIES = Counter("photofeed_stage_retries", "Calls of a handler after the first.", ("stage",))
_DEAD = Counter("photofeed_stage_dead_letters", "Dead letters.", ("stage", "reason"))
_LAG = Gauge(
    "photofeed_stage_lag_seconds",
    "Age of the last event when it was settled.",
    ("stage", "topic"),
    multiprocess_mode="livemax",
)
_UP = Gauge(
    "photofeed_stage_up", "Workers that are ready.", ("stage",), multiprocess_mode="livesum"
)
_FEED_WRITES = Counter("photofeed_feed_writes", "Feeds that a post or a mark was written to.")
_FRESHNESS = Histogram(
    "photofeed_feed_freshness_seconds",
    "Age of a post when the last feed of a chunk had it.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300, 3600),
)
_THRESHOLD = Gauge(
    "photofeed_push_threshold_followers",
    "From so many followers on posts are pulled.",
    multiprocess_mode="livemax",
)
_DELIVERIES = Counter("photofeed_deliveries", "Posts by how they are delivered.", ("delivery",))
_RELAYED = Counter("photofeed_relay_events", "Outbox rows that Kafka has acknowledged.")
_RELAY_FAILURES = Counter("photofeed_relay_failures", "Rounds of the relay that failed.")
_OUTBOX_ROWS = Gauge(
    "photofeed_outbox_rows", "Rows awaiting the relay.", multiprocess_mode="livemax"
)
_OUTBOX_AGE = Gauge(
    "photofeed_outbox_age_seconds", "Age of the oldest row.", multiprocess_mode="livemax"
)


class Outcome(StrEnum):
    """What became of an event."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"


class StageMetrics:
    """The metrics of one stage."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def settled(self, topic: str, outcome: Outcome, *, handle_s: float, age_s: float) -> None:
        """An event is safe to acknowledge, `age_s` after it was written."""
        _EVENTS.labels(self._stage, outcome).inc()
        _HANDLE.labels(self._stage).observe(handle_s)
        _LAG.labels(self._stage, topic).set(age_s)

    def tried_again(self) -> None:
        """A handler is called again for the same event."""
        _RETRIES.labels(self._stage).inc()

    def dead_letter(self, reason: str) -> None:
        """An event went to the dead letters."""
        _DEAD.labels(self._stage, reason).inc()

    def up(self, ready: bool) -> None:
        """Whether this worker has its partitions and tables."""
        _UP.labels(self._stage).set(int(ready))


class PushMetrics:
    """The metrics of pushing and pulling."""

    def written(self, feeds: int) -> None:
        """A chunk is in so many feeds."""
        _FEED_WRITES.inc(feeds)

    def fresh(self, age_s: float) -> None:
        """A chunk's post was published so long ago when the last of its feeds had it."""
        _FRESHNESS.observe(age_s)

    def threshold(self, followers: int) -> None:
        """What the next decision goes by."""
        _THRESHOLD.set(followers)

    def decided(self, delivery: str) -> None:
        """A post's delivery was decided."""
        _DELIVERIES.labels(delivery).inc()


class RelayMetrics:
    """The metrics of the outbox relay."""

    def moved(self, rows: int) -> None:
        """So many rows reached Kafka."""
        _RELAYED.inc(rows)

    def failed(self) -> None:
        """A server was away; the rows stay."""
        _RELAY_FAILURES.inc()

    def waiting(self, rows: int, age_s: float) -> None:
        """What the outbox holds."""
        _OUTBOX_ROWS.set(rows)
        _OUTBOX_AGE.set(age_s)


def forget_process() -> None:
    """Take this process's live gauges out of the shared files: it is ending."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call] # the library's
