"""`photofeed replay`: a range of a topic once more, to one stage or to a side topic.

Into a group goes through that group's retry topic, so no other stage sees it twice. The range ends
where the topic ended when the replay began. Progress is kept in the run folder after every batch;
`--resume` goes on behind it (the batch in hand is repeated, which is harmless).
"""

import asyncio
import hashlib
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from domain import settings as settings_tree
from domain.settings import Settings
from ops.errors import Refused
from ops.output import json_option
from ops.replay_plan import Bound, Wanted, condition, parse_bound, source_of
from ops.report import show
from ops.session import opened
from ops.topics import declared
from stores.connect import Stores
from stores.kafka_admin import KafkaAdmin, Place
from stores.kafka_reader import read
from streams.runtime.dead_letters import REPLAYED_FROM, Failure, original
from streams.topology import BY_NAME
from topics.record import Record

BATCH = 500
Ranges = dict[Place, tuple[int, int]]
"""[first, end) offsets of each partition."""


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked for. Either `group` or `to_topic` is set."""

    topic: str
    since: Bound
    until: Bound | None
    wanted: Wanted
    group: str | None
    to_topic: str | None
    rate: float | None
    dry_run: bool

    @property
    def target(self) -> str:
        """The topic that is written."""
        return BY_NAME[self.group].retry.name if self.group else self.to_topic or ""

    def headers(self, record: Record) -> tuple[tuple[str, bytes], ...]:
        """The record's own; for a stage also where it was first, so that it can be decoded."""
        own = original(record.topic, record.headers)
        if self.group is None:
            return own
        topic, partition, offset = source_of(record)
        source = Failure(source_topic=topic, source_partition=partition, source_offset=offset)
        return (*own, *source.headers(), (REPLAYED_FROM, record.address.encode()))


@dataclass
class Bookmark:
    """Where a replay is, in a file that outlives the process."""

    path: Path
    ranges: Ranges = field(default_factory=dict)

    def load(self) -> bool:
        """Whether there was a place to go on from. Raises Refused on a broken file."""
        try:
            stored = json.loads(self.path.read_text())
            self.ranges = {(topic, p): (first, end) for topic, p, first, end in stored}
        except FileNotFoundError:
            return False
        except (ValueError, TypeError) as error:
            raise Refused(f"{self.path.name} can't be read: leave --resume away") from error
        return True

    def advance(self, records: Sequence[Record]) -> None:
        """These are done."""
        for record in records:
            place = (record.topic, record.partition)
            self.ranges[place] = (record.offset + 1, self.ranges[place][1])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps([[*place, *span] for place, span in self.ranges.items()]))
        draft.replace(self.path)

    def finish(self) -> None:
        """Nothing is left."""
        self.path.unlink(missing_ok=True)


@dataclass
class Run:
    """One replay on its way, and what came of it so far."""

    job: Job
    stores: Stores
    matched: int = 0
    replayed: int = 0
    skipped: int = 0
    begun: float = field(default_factory=time.monotonic)

    async def handle(self, records: Sequence[Record]) -> None:
        """Send those that are wanted, at the asked rate. Raises StoreAway, Transient."""
        chosen = [record for record in records if self.job.wanted(record)]
        self.matched += len(chosen)
        self.skipped += len(records) - len(chosen)
        if self.job.dry_run:
            return
        await asyncio.gather(*(self._send(record) for record in chosen))
        self.replayed += len(chosen)
        if self.job.rate:
            due = self.begun + self.replayed / self.job.rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _send(self, record: Record) -> None:
        await self.stores.events.publish_raw(
            self.job.target,
            record.key,
            record.value,
            self.job.headers(record),
            record.timestamp_ms,
        )

    def report(self) -> dict[str, Any]:
        """The contract's shape; `skipped` are the records looked at that didn't match."""
        return {
            "matched": self.matched,
            "replayed": self.replayed,
            "skipped": self.skipped,
            "seconds": round(time.monotonic() - self.begun, 3),
            "dry_run": self.job.dry_run,
        }


def ranges_of(admin: KafkaAdmin, job: Job) -> Ranges:
    """What there is to read now. Raises Refused when the topic doesn't exist, StoreAway."""
    count = admin.partitions().get(job.topic, 0)
    if not count:
        raise Refused(f"there is no topic {job.topic}")
    places = [(job.topic, partition) for partition in range(count)]
    starts, ends = admin.starts(places), admin.ends(places)

    def at(bound: Bound) -> dict[Place, int]:
        if bound.time_ms is None:
            return dict.fromkeys(places, bound.offset or 0)
        found = admin.at_time(places, bound.time_ms)
        return {place: ends[place] if found[place] < 0 else found[place] for place in places}

    firsts = at(job.since)
    lasts = ends if job.until is None else at(job.until)
    return {
        place: (max(starts[place], firsts[place]), min(ends[place], lasts[place]))
        for place in places
    }


async def run(
    settings: Settings, job: Job, bookmark: Bookmark, *, resume: bool, quiet: bool
) -> dict[str, Any]:
    """Do it; the report. Raises StoreAway, Transient with the bookmark where it was."""
    bootstrap = settings.address("kafka")
    if not (resume and bookmark.load()):
        bookmark.ranges = ranges_of(KafkaAdmin(bootstrap), job)
    total = sum(max(0, end - first) for first, end in bookmark.ranges.values())
    size = min(BATCH, math.ceil(job.rate)) if job.rate else BATCH
    records = read(bootstrap, dict(bookmark.ranges))
    hidden = quiet or not sys.stderr.isatty()
    bar = Progress(console=Console(stderr=True), disable=hidden, transient=True)
    async with opened(settings) as stores:
        work = Run(job, stores)
        with bar:
            task = bar.add_task(job.topic, total=total)
            while batch := await asyncio.to_thread(lambda: list(islice(records, size))):
                await work.handle(batch)
                if not job.dry_run:
                    bookmark.advance(batch)
                bar.advance(task, len(batch))
        if not job.dry_run:
            bookmark.finish()
        return work.report()


def _bound(text: str) -> Bound:
    try:
        return parse_bound(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is neither an offset nor an RFC 3339 time") from None


_PLACE = "TIME|OFFSET"


@click.command("replay")
@click.option("--topic", required=True, help="Where to read.")
@click.option("--from", "since", type=_bound, required=True, metavar=_PLACE, help="The first.")
@click.option(
    "--to", "until", type=_bound, metavar=_PLACE, help="Where to end, exclusive; else the end now."
)
@click.option("--key", help="Only records with this key.")
@click.option("--where", help="Only events for which this expression is true.")
@click.option("--group", type=click.Choice(sorted(BY_NAME)), help="The stage that gets them.")
@click.option("--to-topic", help="The existing side topic that gets them.")
@click.option("--force", is_flag=True, help="Let --to-topic be one of the system's own topics.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Records a second.")
@click.option("--dry-run", is_flag=True, help="Count only.")
@click.option("--resume", is_flag=True, help="Go on where the same replay was broken off.")
@json_option
def command(
    *,
    resume: bool,
    force: bool,
    as_json: bool,
    **asked: Any,  # noqa: ANN401 - click's values, each typed by its option
) -> None:
    """Read a range of a topic again, into one stage or a side topic."""
    settings = settings_tree.load()
    job = _job(asked)
    _check(KafkaAdmin(settings.address("kafka")), job, force=force)
    bookmark = Bookmark(settings.run_dir / "replays" / f"{_digest(asked)}.json")
    show(asyncio.run(run(settings, job, bookmark, resume=resume, quiet=as_json)), as_json)


def _digest(asked: Mapping[str, Any]) -> str:
    """What a replay goes by: a later one may be slower, but is the same."""
    what = {name: value for name, value in asked.items() if name not in ("rate", "dry_run")}
    return hashlib.sha256(repr(sorted(what.items())).encode()).hexdigest()[:16]


def _job(asked: Mapping[str, Any]) -> Job:
    """The job that options describe. Raises click.UsageError when they contradict each other."""
    words = dict(asked)
    key, where = words.pop("key"), words.pop("where")
    try:
        job = Job(wanted=condition(words["topic"], key, where), **words)
    except ValueError as error:
        raise click.UsageError(f"--where: {error}") from None
    if (job.group is None) == (job.to_topic is None):
        raise click.UsageError("either --group or --to-topic")
    if job.group:
        stage = BY_NAME[job.group]
        reads = [*(topic.name for topic in stage.reads), stage.retry.name, stage.dead_letters.name]
        if job.topic not in reads:
            raise click.UsageError(f"{job.group} reads {', '.join(reads)}, not {job.topic}")
    return job


def _check(admin: KafkaAdmin, job: Job, *, force: bool) -> None:
    """Keep a side topic a side topic. Raises click.UsageError, Refused, StoreAway."""
    if job.to_topic is None:
        return
    own = {spec.name for spec in declared(admin.brokers())}
    if job.to_topic in own and not force:
        raise click.UsageError(f"{job.to_topic} is one of the system's own topics: --force")
    if job.to_topic not in admin.partitions():
        raise Refused(f"there is no topic {job.to_topic}: create it first")
