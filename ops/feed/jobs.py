"""What `photofeed feed` does, on a running stack: each job with its stores opened and closed."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from api.feed.facts import facts_of
from api.resilience.breakers import Breakers
from domain.entities import FeedEntry, PhotoStatus
from domain.feed_audit import Fault, Finding, Why
from domain.feed_explain import Explanation, explain
from domain.settings import Settings
from ops.errors import Refused
from ops.feed.audit import Audit, LookUnderWay, Report
from ops.feed.audit import Progress as Advance
from ops.feed.rebuild_run import Done, Lag, Place, RebuildRun
from ops.feed.sources import everyone
from ops.feed.under_way import UnderWay, Unhandled
from ops.lag import Observer
from ops.session import opened
from stores.connect import Stores
from topics.catalog import FANOUT_CHUNK

_BATCH = 64


async def audit(settings: Settings, since: int, *, quiet: bool) -> Report:
    """All feeds against the durable stores; posts of `since` (Unix ms) or later."""
    async with opened(settings) as stores:
        with _bars(quiet=quiet) as advance:
            return await Audit(stores, _under_way(settings, stores), since).run(advance)


async def explained(settings: Settings, user_id: str, post_id: str) -> Explanation:
    """One post in one feed. Raises Refused when there is no such post."""
    async with opened(settings) as stores:
        post = await stores.photos.get(post_id)
        if post is None:
            raise Refused(f"there is no post {post_id}")
        await _all_there(stores, [user_id])
        way = await _under_way(settings, stores)()
        facts = await facts_of(stores, user_id, post, Breakers(settings.degradation))
        entry = FeedEntry(post.published_at or 0, post_id, post.user_id)
        finding = Finding(Fault.LOST, user_id, entry, Why.MISSING)
        changed_at = facts.edge.changed_at if facts.edge else 0
        live = post.status is PhotoStatus.PUBLISHED
        return explain(facts, under_way=way.covers(finding, changed_at, live=live))


async def rebuild(
    settings: Settings, user_ids: Sequence[str], rate: float, *, resume: bool, quiet: bool
) -> Done:
    """These users' feeds, or everybody's when none is named. Raises Refused for nobody's."""
    place = None if user_ids else Place(settings.run_dir / "rebuilds" / "all.json")
    done = place.load() if place and resume else Done()
    async with opened(settings) as stores:
        await _all_there(stores, user_ids)
        with _bars(quiet=quiet) as advance:
            cap = settings.feed.cap
            run = RebuildRun(stores, cap, _lag(settings), rate, lambda n: advance("feeds", n))
            batches = everyone(stores.users, _BATCH, done.after) if place else _one(user_ids)
            await run.run(batches, done, place)
    if place is not None:
        place.forget()
    return done


async def _all_there(stores: Stores, user_ids: Sequence[str]) -> None:
    """Raises Refused for who has no account: a set made for nobody would only take room."""
    known = await stores.users.get_many(user_ids)
    if absent := [user_id for user_id in user_ids if user_id not in known]:
        raise Refused(f"there is no user {absent[0]}")


async def _one(user_ids: Sequence[str]) -> AsyncIterator[Sequence[str]]:
    yield user_ids


def _under_way(settings: Settings, stores: Stores) -> LookUnderWay:
    """The outbox before Kafka: what moves from one to the other in between is seen there."""
    unhandled = Unhandled(settings.address("kafka"), lambda: time.time_ns() // 1_000_000)

    async def look() -> UnderWay:
        _, oldest_s = await stores.outbox.depth()
        return await asyncio.to_thread(unhandled.read, oldest_s)

    return look


def _lag(settings: Settings) -> Lag:
    observer = Observer(settings)
    places = [(FANOUT_CHUNK.name, part) for part in range(FANOUT_CHUNK.partitions)]

    async def lag() -> float:
        found = await asyncio.to_thread(observer.partitions, "write_feeds", places)
        return max((part.lag_seconds for part in found.values()), default=0.0)

    return lag


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Advance]:
    """A line with a count for each kind of thing that is done; none without a terminal."""
    hidden = quiet or not sys.stderr.isatty()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    bars = Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), disable=hidden, transient=True
    )
    tasks: dict[str, TaskID] = {}

    def advance(what: str, count: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=None)
        bars.advance(tasks[what], count)

    with bars:
        yield advance
