"""Audits every feed against the durable stores, a reader at a time (I1).

First the two tables of posts are compared, then each reader's feed is judged. Whatever looks
wrong is looked at again, with everything read anew, after the events under way have been listed:
a fault is one only when it stands still and no event explains it. What the audit holds in memory
doesn't grow with the number of pairs.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from domain.entities import FeedEntry, Photo, PhotoStatus
from domain.feed_audit import Fault, FeedAudit, Finding, Strangers, Tally, Totals, Why
from ops.feed.ports import TruthStores
from ops.feed.sources import Sources, TableFaults, everyone, just_above
from ops.feed.under_way import UnderWay

T = TypeVar("T")
EXAMPLES = 10
_READERS = 500  # judged against one list of what is under way
_AT_ONCE = 8
_ROWS = 200
_LOOKS = 3
BETWEEN_LOOKS_S = 2.0

LookUnderWay = Callable[[], Awaitable[UnderWay]]
Progress = Callable[[str, int], None]
"""Called with what was done, "posts" or "readers", and how many of them."""


@dataclass(slots=True)
class Report:
    """What the audit found."""

    posts: int = 0
    readers: int = 0
    totals: Totals = field(default_factory=Totals)

    @property
    def clean(self) -> bool:
        """Nothing lost, no ghosts, no duplicates."""
        return not self.totals.faults.total()


class Audit:
    """One run over all feeds, of posts published at `since` (Unix ms) or later."""

    def __init__(
        self,
        stores: TruthStores,
        under_way: LookUnderWay,
        since: int = 0,
        examples: int = EXAMPLES,
    ) -> None:
        self._stores = stores
        self._under_way = under_way
        self._since = since
        self._examples = examples
        self._faults = TableFaults()
        self._report = Report()

    async def run(self, progress: Progress = lambda _what, _count: None) -> Report:
        """Do it. Raises StoreAway, Transient."""
        async for rows in _batches(self._stores.photos.scan(), _ROWS):
            await self._compare_tables(rows)
            progress("posts", len(rows))
        suspects: list[str] = []
        sources = Sources(self._stores, self._since, self._faults)
        way = await self._under_way()
        async for readers in everyone(self._stores.users, _READERS):
            suspects += await self._look(readers, sources, way, last=False)
            progress("readers", len(readers))
        for number in range(1, _LOOKS):
            suspects = await self._look_again(suspects, last=number == _LOOKS - 1)
        return self._report

    async def _compare_tables(self, rows: Sequence[Photo]) -> None:
        """Whether the table by user has the live posts and no others, and readers get bytes."""
        posts = [p for p in rows if p.published_at is not None and p.published_at >= self._since]
        entries = [FeedEntry(p.published_at or 0, p.photo_id, p.user_id) for p in posts]
        found = await _gather(map(self._listed, entries))
        ready = await self._stores.post_cache.get([entry.post_id for entry in entries])
        for post, entry, listed, shown in zip(posts, entries, found, ready, strict=True):
            live = post.status is PhotoStatus.PUBLISHED
            self._report.posts += live
            if live and not listed:
                self._faults.unlisted[entry.post_id] = entry
            if listed and not live:
                self._faults.undead.add(entry.post_id)
            if live and shown == b"":
                self._faults.gone.add(entry.post_id)

    async def _listed(self, entry: FeedEntry) -> bool:
        found = await self._stores.photos.by_user(entry.author_id, just_above(entry), 1)
        return found == [entry]

    async def _recheck_tables(self) -> None:
        """What was written between the reading of one table and of the other is no fault."""
        faults = self._faults
        entries = list(faults.unlisted.values())
        for entry, listed in zip(entries, await _gather(map(self._listed, entries)), strict=True):
            if listed:
                del faults.unlisted[entry.post_id]

    async def _look_again(self, suspects: list[str], *, last: bool) -> list[str]:
        """Those that still look wrong; in the last look that counts."""
        if suspects and last:
            await asyncio.sleep(BETWEEN_LOOKS_S)
        again: list[str] = []
        while suspects:
            readers, suspects = suspects[:_READERS], suspects[_READERS:]
            way = await self._under_way()
            await self._recheck_tables()
            sources = Sources(self._stores, self._since, self._faults)
            again += await self._look(readers, sources, way, last=last)
        return again

    async def _look(
        self, readers: Sequence[str], sources: Sources, way: UnderWay, *, last: bool
    ) -> list[str]:
        """Count what is clean, or whatever is found in the last look; the others."""
        tallies = await _gather(self._judge(reader, sources, way) for reader in readers)
        suspects = []
        for reader, tally in zip(readers, tallies, strict=True):
            if tally.findings and not last:
                suspects.append(reader)
            else:
                self._report.readers += 1
                self._report.totals.add(tally, self._examples)
        return suspects

    async def _judge(self, reader: str, sources: Sources, way: UnderWay) -> Tally:
        """One reader's feed. The cache is read first: what it has is in the durable stores then."""
        before = await self._stores.follows.following(reader)
        view = await sources.view(reader, before)
        follows = frozenset(await self._stores.follows.following(reader))
        audit = FeedAudit(reader, view, await sources.eligible(follows, way.taken_at))
        audit.pairs()
        unfollowed = await sources.eligible(view.passing - follows, way.taken_at)
        if unexpected := audit.unexpected(self._since, way.taken_at, unfollowed):
            post_ids = [entry.post_id for entry in unexpected]
            rows = await self._stores.photos.get_many(post_ids)
            ready = await self._stores.post_cache.get(post_ids)
            known = Strangers(rows, dict(zip(post_ids, ready, strict=True)), follows)
            audit.strangers(unexpected, known)
        await self._explain(audit.tally, way)
        return audit.tally

    async def _explain(self, tally: Tally, way: UnderWay) -> None:
        """Take back what events under way, or a deletion meanwhile, explain."""
        if not tally.findings:
            return
        rows = await self._stores.photos.get_many(
            list({finding.entry.post_id for finding in tally.findings})
        )
        for finding in tuple(tally.findings):
            row = rows.get(finding.entry.post_id)
            live = row is not None and row.status is PhotoStatus.PUBLISHED
            if finding.fault is Fault.LOST and not live:
                tally.not_eligible(finding)
            elif way.covers(finding, await self._changed_at(finding), live=live):
                tally.explained(finding)

    async def _changed_at(self, finding: Finding) -> int:
        edge = await self._stores.follows.edge(finding.user_id, finding.entry.author_id)
        return edge.changed_at if edge else 0


ADVICE = {
    Why.MISSING: "photofeed feed rebuild --user {user}",
    Why.MISPLACED: "photofeed feed rebuild --user {user}",
    Why.TWICE: "photofeed feed rebuild --user {user}",
    Why.NOT_FOLLOWED: "the cached follow set is wrong for at most 5 minutes more; then rebuild",
    Why.NOT_LIVE: "photofeed replay --topic post.deleted --group retire_posts --key {author}",
    Why.OTHER_AUTHOR: "photofeed feed rebuild --user {user}",
    Why.HIDDEN: "the cached follow set is wrong for at most 5 minutes more",
    Why.GONE: "photofeed replay --topic post.edited --group retire_posts --key {author}",
    Why.UNLISTED: "photofeed replay --topic photo.processed --group publish_post --key {post}",
}
"""What to do about it."""


def advice(finding: Finding) -> str:
    """What mends a fault, as a command where there is one."""
    entry = finding.entry
    return ADVICE[finding.why].format(
        user=finding.user_id, author=entry.author_id, post=entry.post_id
    )


async def _gather(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All of them, a few at a time, in their order."""
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(each: Coroutine[Any, Any, T]) -> T:
        async with slots:
            return await each

    return await asyncio.gather(*map(one, work))


async def _batches(rows: AsyncIterator[Photo], size: int) -> AsyncIterator[list[Photo]]:
    batch: list[Photo] = []
    async for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
