"""A bloom filter of the photos that are known by their bytes, kept up to date and on disk.

Until it was built it says yes to everything: whoever asks looks into the durable index then. It is
built from the log of what was added, newest hour first, at most as far back as the log is kept and
at most as many as it is sized for; a filter saved to disk needs only what came since. What other
processes add is read from the log, too, a minute behind: missed so far, a duplicate is rendered
once more, nothing else.
"""

import asyncio
import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import structlog
from rbloom import Bloom

from domain.errors import Transient
from domain.ports.photos import Renditions
from domain.settings import Duplicates

log = structlog.get_logger()

_OVERLAP_MS = 180_000
"""Clocks of other processes may differ, and a write may take a while."""
_REFRESH_S = 60.0
_SAVE_S = 600.0
_MARK_BYTES = 8
_DIGEST_BYTES = 32


class KnownPhotos:
    """`might_know`, `add`, `close`."""

    def __init__(self, renditions: Renditions, how: Duplicates, folder: Path) -> None:
        self._renditions = renditions
        self._how = how
        self._file = folder / f"photos-{how.expected_photos}-{how.false_positive_rate:g}.bloom"
        self._bloom: Bloom | None = None
        self._fresh: set[str] = set()
        self._mark = 0
        self._saved_at = 0.0
        self._refreshing = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None

    def might_know(self, sha256: str) -> bool:
        """Whether a photo with these bytes may be known; others' last minute isn't in it."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(), name="known photos")
        return self._bloom is None or sha256 in self._bloom

    def add(self, sha256: str) -> None:
        """Know a photo from now on."""
        if self._bloom is None:
            self._fresh.add(sha256)
        else:
            self._bloom.add(sha256)

    async def refresh(self) -> None:
        """Build the filter, or add what the log has since. Raises Transient."""
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        now = time.time_ns() // 1_000_000
        if self._bloom is None:
            bloom, self._mark = await asyncio.to_thread(self._load)
        else:
            bloom = self._bloom
        since = max(self._mark - _OVERLAP_MS, now - self._how.window_days * 86_400_000)
        left = self._how.expected_photos
        async for hashes in self._renditions.added(since, now):
            bloom.update(hashes[:left])
            left -= len(hashes)
            if left <= 0:
                break
        bloom.update(self._fresh)
        self._fresh.clear()
        self._bloom, self._mark = bloom, now

    async def close(self) -> None:
        """Stop following the log; save what is known."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        if self._bloom is not None:
            await asyncio.to_thread(self._save, self._bloom, self._mark)

    async def _keep(self) -> None:
        while True:
            try:
                await self.refresh()
            except Transient as error:
                log.warning("known_photos.not_refreshed", error=str(error))
            if self._bloom is not None and time.monotonic() > self._saved_at + _SAVE_S:
                await asyncio.to_thread(self._save, self._bloom, self._mark)
                self._saved_at = time.monotonic()
            await asyncio.sleep(_REFRESH_S)

    def _load(self) -> tuple[Bloom, int]:
        """The saved filter and until when it is complete (ms); an empty one and 0 without."""
        empty = Bloom(self._how.expected_photos, self._how.false_positive_rate, _number)
        try:
            data = self._file.read_bytes()
        except OSError:
            return empty, 0
        digest, saved = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
        if hashlib.sha256(saved).digest() != digest:  # the library panics at broken bytes
            return empty, 0
        mark = int.from_bytes(saved[:_MARK_BYTES], "big")
        return Bloom.load_bytes(saved[_MARK_BYTES:], _number), mark

    def _save(self, bloom: Bloom, mark: int) -> None:
        """Write it beside, then put it in place: a reader sees the old or the new one, whole."""
        beside = self._file.with_suffix(f".{os.getpid()}")
        beside.parent.mkdir(parents=True, exist_ok=True)
        saved = mark.to_bytes(_MARK_BYTES, "big") + bloom.save_bytes()
        beside.write_bytes(hashlib.sha256(saved).digest() + saved)
        beside.replace(self._file)


def _number(sha256: str) -> int:
    """128 bits of the hash: it is uniform already."""
    return int.from_bytes(bytes.fromhex(sha256[:32]), "big", signed=True)
