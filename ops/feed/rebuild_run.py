"""Many rebuilds in a row: not too fast for the others, and resumable.

At most so many feeds a second as were asked for, fewer while delivery lags or Cassandra's answers
get slow (`domain.pace`). Progress is kept in the run folder after each batch; a resumed run goes
on behind it.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from api.feed.durable import PostsByUser
from domain.entities import Cursor, FeedEntry
from domain.feed_digest import Total
from domain.pace import Load, Pace, p99
from ops.errors import Refused
from ops.feed.ports import TruthStores
from ops.feed.rebuild import Rebuild, Rebuilt

LOOK_EVERY_S = 1.0
_AT_ONCE = 8
_READS_AT_ONCE = 8
"""Few enough that their times tell of Cassandra, not of our own queue."""
_RECENT = 500  # reads whose times are remembered

Lag = Callable[[], Awaitable[float]]
"""How far delivery is behind, in seconds."""


class MeasuredReads:
    """Pages of authors' posts, counted and timed."""

    def __init__(self, photos: PostsByUser) -> None:
        self._photos = photos
        self._slots = asyncio.Semaphore(_READS_AT_ONCE)
        self.count = 0
        self.seconds: deque[float] = deque(maxlen=_RECENT)

    async def by_user(self, user_id: str, before: Cursor | None, limit: int) -> list[FeedEntry]:
        """As the port's."""
        async with self._slots:
            began = time.monotonic()
            found = await self._photos.by_user(user_id, before, limit)
            self.seconds.append(time.monotonic() - began)
        self.count += 1
        return found


@dataclass(slots=True)
class Done:
    """What has been rebuilt so far; `after` is the last of the users in their order."""

    after: str = ""
    feeds: int = 0
    entries: int = 0
    seconds: float = 0.0
    cassandra_reads: int = 0
    digest: int = 0
    unequal: list[str] = field(default_factory=list)

    def add(self, rebuilt: Rebuilt) -> None:
        """Count one feed."""
        total = Total(self.digest)
        total.add(rebuilt.user_id, rebuilt.digest)
        self.after, self.digest = rebuilt.user_id, total.value
        self.feeds += 1
        self.entries += rebuilt.entries
        if not rebuilt.equal:
            self.unequal.append(rebuilt.user_id)

    def document(self) -> dict[str, Any]:
        """The contract's shape, with digest and the feeds that didn't come to agree."""
        return {
            "feeds": self.feeds,
            "entries": self.entries,
            "seconds": round(self.seconds, 3),
            "cassandra_reads": self.cassandra_reads,
            "digest": str(Total(self.digest)),
            "unequal": self.unequal,
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run over everybody is, in a file that outlives the process."""

    path: Path

    def load(self) -> Done:
        """What an earlier run has done; nothing without one. Raises Refused on a broken file."""
        try:
            return Done(**json.loads(self.path.read_text()))
        except FileNotFoundError:
            return Done()
        except (ValueError, TypeError) as error:
            raise Refused(f"{self.path.name} can't be read: leave --resume away") from error

    def save(self, done: Done) -> None:
        """Whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(done)))
        draft.replace(self.path)

    def forget(self) -> None:
        """Nothing is left to do."""
        self.path.unlink(missing_ok=True)


class RebuildRun:
    """Rebuilds feeds at a pace. `lag` is asked once in LOOK_EVERY_S."""

    def __init__(
        self,
        stores: TruthStores,
        cap: int,
        lag: Lag,
        rate: float,
        progress: Callable[[int], None] = lambda _feeds: None,
    ) -> None:
        """`rate` is the most feeds a second."""
        self._reads = MeasuredReads(stores.photos)
        self._rebuild = Rebuild(stores, self._reads, cap)
        self._lag = lag
        self._progress = progress
        self.pace = Pace.start(rate)
        self._due = 0.0

    async def run(
        self, batches: AsyncIterator[Sequence[str]], done: Done, place: Place | None
    ) -> Done:
        """Rebuild them all, saving after each batch. Raises StoreAway, Transient."""
        looking = asyncio.create_task(self._look(), name="pace")
        try:
            async for batch in batches:
                await self._batch(batch, done)
                if place is not None:
                    place.save(done)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
        return done

    async def _batch(self, user_ids: Sequence[str], done: Done) -> None:
        began, reads = time.monotonic(), self._reads.count
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(user_id: str) -> Rebuilt:
            async with slots:
                await self._turn()
                rebuilt = await self._rebuild(user_id)
                self._progress(1)
                return rebuilt

        for rebuilt in await asyncio.gather(*map(one, user_ids)):
            done.add(rebuilt)
        done.seconds += time.monotonic() - began
        done.cassandra_reads += self._reads.count - reads

    async def _turn(self) -> None:
        """Wait until the next feed is due."""
        now = time.monotonic()
        start = max(now, self._due)
        self._due = start + 1 / self.pace.rate
        await asyncio.sleep(start - now)

    async def _look(self) -> None:
        """Adapt the pace for as long as the run lasts."""
        while True:
            slow = p99(list(self._reads.seconds))
            self.pace = self.pace.after(Load(await self._lag(), slow))
            self._reads.seconds.clear()
            await asyncio.sleep(LOOK_EVERY_S)
