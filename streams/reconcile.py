"""Uploads that came to no end → upload.completed again, or rejected with a reason.

Run as `python -m streams.reconcile`. Every minute it looks at what is open (seed section 5): an
accepted upload whose outcome is overdue is asked for again by the same event, which finishes
whatever a killed process had left half done; what was never completed is rejected and swept when
its URLs have run out. Only an accepted `complete` ever publishes.
"""

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from domain import ids, uploads
from domain.entities import Photo, PhotoStatus
from domain.errors import Transient
from domain.ports.log import EventLog
from domain.ports.photos import Photos
from domain.ports.uploads import Multiparts, Objects, OpenUploads
from domain.secrets import Secrets
from domain.settings import Uploads, load
from domain.uploads import OpenUpload, Step
from stores.connect import Stores
from stores.media_sweep import sweep
from streams.runtime import logs
from streams.runtime.health import Heartbeat
from streams.runtime.runner import now_ms
from topics.catalog import PHOTO_REJECTED, UPLOAD_COMPLETED

ROLE = "worker-reconcile-0"
_MINUTE_MS = 60_000
_LOOK_BACK_MINUTES = 8 * 24 * 60
"""As long as an open upload is remembered."""
_SETTLED_MINUTES = 2
"""A minute this far back gets no new uploads, whatever the ids' clocks do."""
_BEAT_S = 1.0
_AWAY_S = 5.0
_ENOUGH_FAILED = 3
_REJECTING = {Step.EXPIRE: uploads.EXPIRED, Step.GIVE_UP: uploads.NEVER_PROCESSED}
_log = structlog.get_logger()


@dataclass
class Patience:
    """Since when an upload has been seen processing, and when it is asked for again (ms)."""

    asked: int
    wait_ms: float

    def is_over(self, now: int) -> bool:
        """Whether its outcome is overdue."""
        return now - self.asked >= self.wait_ms

    def renew(self, now: int) -> None:
        """It was asked for: a stage that lags must not be buried in questions."""
        self.asked, self.wait_ms = now, self.wait_ms * 2


@dataclass
class Reconciler:
    """One round looks at every upload that is open. Safe to repeat, and to run twice."""

    photos: Photos
    open_uploads: OpenUploads
    objects: Objects
    multiparts: Multiparts
    events: EventLog
    limits: Uploads
    clock: Callable[[], int] = now_ms
    ready: bool = False
    _minutes: set[int] = field(default_factory=set)
    _newest: int = 0
    _processing: dict[str, Patience] = field(default_factory=dict)

    async def round(self) -> None:
        """Look once. Raises Transient when a server seems away; the next round begins again."""
        now = self.clock()
        minute = now // _MINUTE_MS
        first = max(self._newest, minute - _LOOK_BACK_MINUTES)
        self._minutes.update(range(first, minute + 1))
        self._newest = minute
        found = await self.open_uploads.of_minutes(sorted(self._minutes))
        self._minutes = {m for m in self._minutes if m in found or m > minute - _SETTLED_MINUTES}
        opened = [each for m in sorted(found) for each in found[m]]
        rows = await self.photos.get_many([each.photo_id for each in opened])
        await self._look_at_all(opened, rows, now)
        self._processing = {
            photo_id: patience
            for photo_id, patience in self._processing.items()
            if photo_id in rows
        }
        await self.multiparts.abort_older(now - self.limits.multipart_ttl_s * 1000)
        self.ready = True

    async def _look_at_all(
        self, opened: Sequence[OpenUpload], rows: Mapping[str, Photo], now: int
    ) -> None:
        """One that fails doesn't hold up the rest; when several do, a server is away."""
        failed = 0
        for each in opened:
            try:
                await self._look(each, rows.get(each.photo_id), now)
            except Transient as error:
                failed += 1
                _log.warning("upload.unsettled", photo_id=each.photo_id, error=str(error))
                if failed == _ENOUGH_FAILED:
                    raise

    async def _look(self, upload: OpenUpload, photo: Photo | None, now: int) -> None:
        step = self._next_step(upload, photo, now)
        if photo is not None and step in _REJECTING:
            photo = await self._rejected(photo, _REJECTING[step])
            step = self._next_step(upload, photo, now)
        elif photo is not None and step is Step.ASK_AGAIN:
            photo = await self._asked_again(photo, now)
            step = self._next_step(upload, photo, now)
        if photo is not None and step in {Step.DISCARD, Step.CLOSE}:
            await self._settle(upload, photo, step, now)
        if step in {Step.DISCARD, Step.CLOSE}:
            await self.open_uploads.close(upload.photo_id)

    def _next_step(self, upload: OpenUpload, photo: Photo | None, now: int) -> Step:
        overdue = False
        if photo is not None and photo.status is PhotoStatus.PROCESSING:
            fresh = Patience(now, self.limits.stuck_after_s * 1000)
            overdue = self._processing.setdefault(photo.photo_id, fresh).is_over(now)
        return uploads.next_step(photo, ids.time_of(upload.photo_id), now, stuck=overdue)

    async def _asked_again(self, photo: Photo, now: int) -> Photo | None:
        """Make the event of a completed upload once more, or reject what has no bytes."""
        info = await self.objects.head(self.limits.bucket, photo.object_key)
        if info is None:
            return await self._rejected(photo, uploads.OBJECT_MISSING)
        await self.events.publish(UPLOAD_COMPLETED, uploads.completed(photo, info.etag, now))
        self._processing[photo.photo_id].renew(now)
        _log.info("upload.asked_again", photo_id=photo.photo_id)
        return photo

    async def _rejected(self, photo: Photo, reason: str) -> Photo | None:
        """The row as it is then: it may have come to another end meanwhile."""
        if await self.photos.reject(photo.photo_id, reason):
            _log.info("upload.rejected", photo_id=photo.photo_id, reason=reason)
        return await self.photos.get(photo.photo_id)

    async def _settle(self, upload: OpenUpload, photo: Photo, step: Step, now: int) -> None:
        """Leave nothing behind; until this is done the upload stays open and it is done again."""
        if step is Step.DISCARD:
            if upload.upload_id is not None:
                await self.multiparts.abort(photo.object_key, upload.upload_id)
            await self.objects.delete(self.limits.bucket, photo.object_key)
        if photo.status is PhotoStatus.REJECTED and photo.reason in uploads.TOLD:
            await self.events.publish(PHOTO_REJECTED, uploads.rejected(photo, now))


async def _beat(reconciler: Reconciler, stop: asyncio.Event, heart: Heartbeat) -> None:
    """Say every second whether rounds end well, until stopped."""
    while not stop.is_set():
        heart.beat(reconciler.ready)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _BEAT_S)
    heart.stop()


async def _keep_looking(reconciler: Reconciler, stop: asyncio.Event) -> None:
    """Rounds until stopped; a server that is away is waited for."""
    while not stop.is_set():
        pause = reconciler.limits.reconcile_every_s
        try:
            await reconciler.round()
        except Transient as error:
            _log.warning("reconcile.waits", error=str(error))
            reconciler.ready = False
            pause = min(pause, _AWAY_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


async def _keep_sweeping(stores: Stores, stop: asyncio.Event) -> None:
    """Remove pictures that no post has shown for a while, until stopped."""
    limits = stores.settings.uploads
    while not stop.is_set():
        try:
            if removed := await sweep(stores.media_refs, stores.objects, limits, now_ms()):
                _log.info("media.removed", objects=removed)
        except (Transient, TimeoutError) as error:
            _log.warning("sweep.waits", error=str(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), limits.reconcile_every_s)


async def main() -> None:
    """Reconcile until SIGTERM or SIGINT."""
    settings = load()
    logs.configure(settings.log_level, role=ROLE)
    stores = Stores(settings, Secrets.load(settings.run_dir))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reconciler = Reconciler(
        stores.photos,
        stores.open_uploads,
        stores.objects,
        stores.multiparts,
        stores.events,
        settings.uploads,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_beat(reconciler, stop, Heartbeat(settings.run_dir, ROLE)))
            tasks.create_task(_keep_looking(reconciler, stop))
            tasks.create_task(_keep_sweeping(stores, stop))
    finally:
        await stores.close()


if __name__ == "__main__":
    asyncio.run(main())
