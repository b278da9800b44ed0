"""The gate before the media bucket: nothing is stored there that the blocklist matches.

The list is an index in memory. Its version is asked for with every photo, so that an import counts
from the next photo on; it is read again when that changed, and hourly whatever it says. A list that
can't be read is StoreAway: the photo waits, nothing is published unchecked.
"""

import asyncio
import time
from dataclasses import replace

from domain.errors import Transient
from domain.hash_index import HashIndex, Match
from domain.ids import derived
from domain.moderation import AlreadyRestored, NewCase, kept_key
from domain.ports.moderation import Blocklist, Moderation
from domain.ports.uploads import Objects
from domain.settings import Blocked
from schemas.events import UploadCompleted


class Screening:
    """Matches photos, and puts away those that are stopped."""

    def __init__(
        self, blocklist: Blocklist, cases: Moderation, objects: Objects, bucket: str, how: Blocked
    ) -> None:
        self._blocklist = blocklist
        self._cases = cases
        self._objects = objects
        self._bucket = bucket
        self._how = how
        self._index = HashIndex(b"", how.max_distance)
        self._version: int | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def restored(self, photo_id: str) -> bool:
        """Whether a moderator decided that this photo is to be published."""
        case = await self._cases.get(photo_id)
        return case is not None and case.status == "restored"

    async def match(self, photo_id: str, phash: str) -> Match | None:
        """The entry that stops this photo, None for one that may be published.

        Raises StoreAway, Transient.
        """
        index = await self._current()
        found = index.nearest(phash) if phash else None
        if found is None or await self.restored(photo_id):
            return None
        return found

    async def stop(self, upload: UploadCompleted, source: bytes, phash: str, match: Match) -> None:
        """Keep the bytes for review and open the case; twice is once."""
        key = kept_key(upload)
        await self._objects.put(self._bucket, key, source, upload.content_type)
        case = NewCase(upload, _now_ms(), phash, match.hash, match.distance, key)
        await self._cases.open(case)

    async def restore(self, photo_id: str, by: str, why: str) -> None:
        """Put the bytes back where they were, and let the photo be processed again.

        A call that broke off before the decision was kept is repeated whole; after it only what was
        kept for review is left to remove, for the post may be gone. Raises NotFound,
        AlreadyRestored.
        """
        upload = await self._cases.upload(photo_id)
        key = kept_key(upload)
        if await self.restored(photo_id):
            await self._objects.delete(self._bucket, key)
            raise AlreadyRestored(photo_id)
        source = await self._objects.get(self._bucket, key)
        await self._objects.put(self._bucket, upload.object_key, source, upload.content_type)
        back = await self._objects.head(self._bucket, upload.object_key)
        if back is None:
            raise Transient(f"{upload.object_key} went away")
        now = _now_ms()
        event_id = derived(upload.event_id, "restored")
        again = replace(upload, event_id=event_id, occurred_at=now, etag=back.etag)
        await self._cases.restore(again, by, why, now)
        await self._objects.delete(self._bucket, key)

    async def _current(self) -> HashIndex:
        async with self._reading:
            version = await self._blocklist.version()
            old = time.monotonic() > self._read_at + self._how.refresh_s
            if version != self._version or old:
                parts = [part async for part in self._blocklist.hashes()]
                distance = self._how.max_distance
                self._index = await asyncio.to_thread(HashIndex, b"".join(parts), distance)
                self._version = version  # the one before the reading: a change meanwhile is seen
                self._read_at = time.monotonic()
            return self._index


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
