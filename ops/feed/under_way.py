"""Which posts and follows have events that no stage has handled to the end yet.

What a feed lacks because of them isn't lost. The events are read from Kafka between each group's
committed offset and the topic's end, its retries included.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from domain.feed_audit import FRESH_MS, Finding, Why
from ops.replay_plan import source_of
from schemas.codec import BadAvro
from schemas.events import FollowCreated, FollowDeleted
from stores.kafka_admin import KafkaAdmin, Place
from stores.kafka_reader import read
from streams.runtime.stage import Stage
from streams.topology import BY_NAME
from topics.record import Record

STAGES = tuple(
    BY_NAME[name]
    for name in ("publish_post", "plan_fan_out", "write_feeds", "refill_feeds", "retire_posts")
)
"""What a post or a follow goes through until feeds agree with it."""
MOST = 200_000
"""Events read at once; beyond, everything since the first one left out counts as under way."""
NEVER = 1 << 62
_UNEXPLAINED = frozenset({Why.TWICE, Why.MISPLACED, Why.OTHER_AUTHOR})
"""No event that is late does these."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """Posts and edges (follower, followee) of unhandled events.

    Times are Unix ms: from `since` on every post and edge may have one, from `edges_since` on every
    edge, because not all of them could be looked at.
    """

    taken_at: int
    posts: frozenset[str] = frozenset()
    edges: frozenset[tuple[str, str]] = frozenset()
    since: int = NEVER
    edges_since: int = NEVER

    def covers(self, finding: Finding, changed_at: int, live: bool) -> bool:
        """Whether a fault is explained; `changed_at` is the edge's last change, 0 without one."""
        if finding.why in _UNEXPLAINED:
            return False
        entry = finding.entry
        if entry.post_id in self.posts or (finding.user_id, entry.author_id) in self.edges:
            return True
        fresh = min(self.taken_at, self.since) - FRESH_MS
        published_at = entry.published_at if live else 0
        return published_at > fresh or changed_at > min(fresh, self.edges_since)


class Unhandled:
    """Reads what is under way. Raises StoreAway, Transient."""

    def __init__(
        self, bootstrap: str, clock: Callable[[], int], stages: Sequence[Stage] = STAGES
    ) -> None:
        self._bootstrap = bootstrap
        self._admin = KafkaAdmin(bootstrap)
        self._clock = clock
        self._stages = stages
        self._topics = {topic.name: topic for stage in stages for topic in stage.reads}

    def read(self, outbox_age_s: float) -> UnderWay:
        """As of now; `outbox_age_s` is the age of the oldest follow that isn't in Kafka yet."""
        taken_at = self._clock()
        posts: set[str] = set()
        edges: set[tuple[str, str]] = set()
        records = self._records()
        for record in islice(records, MOST):
            found = self._subject(record)
            if isinstance(found, tuple):
                edges.add(found)
            else:
                posts.add(found)
        left_out = next(records, None)
        return UnderWay(
            taken_at,
            frozenset(posts),
            frozenset(edges),
            NEVER if left_out is None else left_out.timestamp_ms,
            taken_at - round(outbox_age_s * 1000) if outbox_age_s else NEVER,
        )

    def _records(self) -> Iterator[Record]:
        counts = self._admin.partitions()
        for stage in self._stages:
            topics = [*(topic.name for topic in stage.reads), stage.retry.name]
            places = [(topic, part) for topic in topics for part in range(counts.get(topic, 0))]
            yield from read(self._bootstrap, self._ranges(stage.name, places))

    def _ranges(self, group: str, places: list[Place]) -> dict[Place, tuple[int, int]]:
        committed = self._admin.committed(group)
        starts, ends = self._admin.starts(places), self._admin.ends(places)
        return {
            place: (max(committed.get(place, 0), starts[place]), ends[place]) for place in places
        }

    def _subject(self, record: Record) -> str | tuple[str, str]:
        """The post or the edge (follower, followee) that an event is about; "" for none."""
        topic = self._topics.get(source_of(record)[0])
        try:
            event = topic.codec.decode(record.value) if topic else None
        except BadAvro:
            return ""
        if isinstance(event, FollowCreated | FollowDeleted):
            return event.follower_id, event.followee_id
        return str(getattr(event, "post_id", None) or getattr(event, "photo_id", ""))
