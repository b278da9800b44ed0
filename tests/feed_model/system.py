"""The system under test: the stages of the topology around a log, and the reader of feeds.

Every event goes through its codec into a log; each stage that reads its topic has it on its way
until a worker handled it to the end. Which comes next is the test's choice: workers are many, and
what failed once comes again late. Workers and readers are processes that can be killed before any
of their calls of a store; what they keep in memory is gone then, tables are not.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from api.feed.reader import FeedReader
from domain.entities import OutboxRow
from schemas.events import (
    Event,
    FanoutChunk,
    FollowCreated,
    FollowDeleted,
    LikeCreated,
    LikeDeleted,
    PostDeleted,
    PostEdited,
    PostPublished,
)
from streams.runtime.stage import Concludes, Emit, Handler, Recovers
from streams.topology import BY_NAME
from tests.feed_model.oracle import Doubt, Oracle
from tests.feed_model.ports import Ports
from tests.interleaving import Stepped
from topics import catalog
from topics.topic import Topic

T = TypeVar("T")
STAGES = tuple(
    BY_NAME[name]
    for name in (
        "plan_fan_out",
        "write_feeds",
        "refill_feeds",
        "count_follows",
        "count_reactions",
        "retire_posts",
    )
)
EDGE = "http://edge"


class Killed(Exception):
    """The process is no more."""


class Process:
    """The ports as one process has them: it dies before its n-th call, and stays dead."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._left: int | None = None

    def __getattr__(self, name: str) -> object:
        port = getattr(self._ports, name)
        return port if name in ("settings", "redis_server") else Stepped(port, self._gate)

    def dies_after(self, calls: int | None) -> None:
        self._left = calls

    async def _gate(self) -> None:
        if self._left is not None:
            if self._left <= 0:
                raise Killed
            self._left -= 1


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event on its way to a stage."""

    stage: str
    event: Event
    again: bool


class System:
    """Log, workers and API over some ports."""

    def __init__(self, ports: Ports, oracle: Oracle) -> None:
        self.ports = ports
        self.oracle = oracle
        self.past: dict[tuple[str, str], tuple[Topic[Any], Event]] = {}
        self.pending: list[Delivery] = []
        self.unheard: set[tuple[str, str] | str] = set()
        """Edges and posts whose change the API didn't get to tell the cache."""
        self._arrived: set[str] = set()
        """Posts whose author once had nothing on its way: from then on they must be seen."""
        self._tables: dict[str, dict[str, Any]] = defaultdict(dict)
        self._start_worker()
        self._start_api()

    def _start_worker(self) -> None:
        self._worker = Process(self.ports)
        stores: Any = self._worker
        self._handlers: dict[str, Handler] = {}
        for stage in STAGES:
            tables = {name: self._tables[name] for name in stage.tables}
            handler: object = stage.make(stores, tables)
            if isinstance(handler, Recovers):
                handler.recovered()
            self._handlers[stage.name] = cast("Handler", handler)

    def _start_api(self) -> None:
        self._known = set(self._arrived)
        self._api = Process(self.ports)
        stores: Any = self._api
        self.reader = FeedReader(stores, EDGE, self.ports.settings.feed)

    # --- the log --------------------------------------------------------------------------------

    def publish(self, topic: Topic[Any], event: Event, *, again: bool = False) -> None:
        """Acknowledged by the log: on its way to every stage that reads the topic."""
        decoded = topic.codec.decode(topic.codec.encode(event))
        self.past[topic.name, event.event_id] = (topic, decoded)
        self._deliver(topic, decoded, again=again)

    def _deliver(self, topic: Topic[Any], event: Event, *, again: bool) -> None:
        stages = [stage.name for stage in STAGES if topic in stage.reads]
        self.pending += [Delivery(stage, event, again) for stage in stages]

    async def relay(self) -> None:
        """Empty the outbox into the log."""

        async def publish(rows: Sequence[OutboxRow]) -> None:
            for row in rows:
                topic = catalog.BY_NAME[row.topic]
                self.publish(topic, topic.codec.decode(row.payload))

        while await self.ports.outbox.drain(publish, 100):
            pass

    def redeliver(self, number: int) -> None:
        """One past event comes again."""
        if self.past:
            topic, event = list(self.past.values())[number % len(self.past)]
            self._deliver(topic, event, again=True)

    def replay(self, topic: Topic[Any]) -> None:
        """A whole topic comes again."""
        for known, event in self.past.values():
            if known == topic:
                self._deliver(topic, event, again=True)

    # --- workers --------------------------------------------------------------------------------

    async def work(self, number: int = 0) -> None:
        """Settle one event."""
        if self.pending:
            delivery = self.pending.pop(number % len(self.pending))
            handler: object = self._handlers[delivery.stage]
            emits = await self._handlers[delivery.stage](delivery.event)
            self._emit(delivery, emits)
            if isinstance(handler, Concludes):
                await handler.conclude(delivery.event, emits)

    async def settle(self) -> None:
        """Until nothing is on its way."""
        while self.pending:
            await self.work()

    async def kill_worker(self, number: int, calls: int) -> None:
        """Kill it in the middle of an event; when it made so few calls, before the last emit."""
        if not self.pending:
            return
        delivery = self.pending[number % len(self.pending)]
        handle = self._handlers[delivery.stage]
        emitted: Sequence[Emit] = ()
        self._worker.dies_after(calls)
        try:
            emitted = await handle(delivery.event)
        except Killed:
            pass
        else:
            self._worker.dies_after(0)
        self._emit(delivery, emitted[: calls % (len(emitted) + 1)])
        self._start_worker()

    def _emit(self, cause: Delivery, emits: Sequence[Emit]) -> None:
        for emit in emits:
            self.publish(emit.topic, emit.event, again=cause.again)

    # --- readers --------------------------------------------------------------------------------

    async def kill_reader(self, calls: int, read: Callable[[], Awaitable[T]]) -> None:
        """Kill the API in the middle of an answer, or right after it."""
        self._api.dies_after(calls)
        with suppress(Killed):
            await read()
        await self.restart_api()

    async def restart_api(self) -> None:
        """Its memory is gone."""
        self._api.dies_after(0)
        await self.reader.close()
        self._start_api()

    # --- what is open ---------------------------------------------------------------------------

    def doubt(self) -> Doubt:
        """What the events on their way leave open; what comes again must change nothing."""
        doubt, authors = Doubt(), set[str]()
        for delivery in self.pending:
            if not delivery.again and delivery.stage != "count_follows":
                self._doubt(delivery.event, doubt, authors)
        self.unheard &= doubt.edges | doubt.posts
        doubt.gone |= self.unheard
        doubt.posts |= self.oracle.posts.keys() - self._arrivals(authors)
        return doubt

    def _doubt(self, event: Event, doubt: Doubt, authors: set[str]) -> None:
        match event:
            case FollowCreated() | FollowDeleted():
                doubt.edges.add((event.follower_id, event.followee_id))
            case PostPublished() | FanoutChunk():
                authors.add(event.user_id)
            case PostDeleted():
                doubt.posts.add(event.post_id)
            case PostEdited() | LikeCreated() | LikeDeleted():
                doubt.looks.add(event.post_id)

    def _arrivals(self, authors: set[str]) -> set[str]:
        """Posts that have arrived, and no head of a pull list is so old that it lacks them.

        One post's delivery may be what tells readers to pull all of its author's.
        """
        posts = self.oracle.posts.items()
        self._arrived |= {p for p, post in posts if post.entry.author_id not in authors}
        return self._known if self.ports.settings.feed.pull_heads_s else self._arrived
