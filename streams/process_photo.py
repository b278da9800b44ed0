"""upload.completed → photo.processed | photo.rejected.

Makes the three variants in the sandboxed decoder, or finds those of the same bytes, and stores them
before anyone hears of the photo. What the blocklist matches is put away before anything is stored
(seed section 6; I8, I9).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from domain.entities import Photo, PhotoStatus
from domain.errors import Reason, Unrecoverable
from domain.ids import derived
from domain.moderation import BLOCKED
from domain.ports.photos import MediaRefs, Photos
from domain.ports.uploads import Objects
from domain.renditions import Focus, Rejected, Rendered, object_key
from domain.settings import Uploads
from schemas.events import PhotoProcessed, PhotoRejected, UploadCompleted, VariantRef
from stores.remembering_decoder import RememberingDecoder
from stores.screening import Screening
from streams.runtime.runner import now_ms
from streams.runtime.stage import Emit
from topics.catalog import PHOTO_PROCESSED, PHOTO_REJECTED

UPLOADS_IN_MEMORY = 2
"""An upload may have 50 MB; partitions are handled side by side."""

OBJECT_MISSING = "object_missing"


def processed(event: UploadCompleted, photo: Photo) -> PhotoProcessed:
    """The event of a photo whose variants are stored; a retry makes the same one."""
    return PhotoProcessed(
        event_id=derived(event.event_id, "processed"),
        occurred_at=event.occurred_at,
        version=event.version,
        photo_id=event.photo_id,
        user_id=event.user_id,
        caption=event.caption,
        tags=event.tags,
        alt_text=event.alt_text,
        location=event.location,
        sha256=photo.sha256 or "",
        width=photo.width,
        height=photo.height,
        placeholder=photo.placeholder,
        variants=photo.variants,
    )


def rejected(event: UploadCompleted, reason: str, detail: str = "") -> PhotoRejected:
    """The event of a photo that will never be published; a retry makes the same one."""
    return PhotoRejected(
        event_id=derived(event.event_id, "rejected"),
        occurred_at=event.occurred_at,
        version=event.version,
        photo_id=event.photo_id,
        user_id=event.user_id,
        reason=reason,
        detail=detail,
    )


def with_renditions(photo: Photo, rendered: Rendered) -> Photo:
    """The row's values once the variants are stored."""
    return replace(
        photo,
        sha256=rendered.sha256,
        width=rendered.width,
        height=rendered.height,
        placeholder=rendered.placeholder,
        variants=tuple(
            VariantRef(each.name, each.content_hash, each.width, each.height, len(each.data))
            for each in rendered.variants
        ),
    )


def decided(event: UploadCompleted, photo: Photo) -> list[Emit] | None:
    """What is emitted for a photo as its row stands; None while it is still to be processed."""
    match photo.status:
        case PhotoStatus.PUBLISHED:
            return [Emit(PHOTO_PROCESSED, processed(event, photo))]
        case PhotoStatus.REJECTED:
            return [Emit(PHOTO_REJECTED, rejected(event, photo.reason or ""))]
        case PhotoStatus.DELETED:
            return []
        case _:
            return None


def focus_of(event: UploadCompleted) -> Focus | None:
    """What the thumbnail must hold, None for the centre."""
    return None if event.focus is None else (event.focus.x, event.focus.y)


class ProcessPhoto:
    """The handler of upload.completed."""

    def __init__(
        self,
        photos: Photos,
        refs: MediaRefs,
        objects: Objects,
        decoder: RememberingDecoder,
        screening: Screening,
        uploads: Uploads,
    ) -> None:
        self._photos = photos
        self._refs = refs
        self._objects = objects
        self._decoder = decoder
        self._screening = screening
        self._uploads = uploads
        self._room = asyncio.Semaphore(UPLOADS_IN_MEMORY)

    async def prepare(self) -> None:
        """Read the blocklist, which every photo needs. Raises StoreAway, Transient."""
        await self._screening.match("", "")

    async def __call__(self, event: UploadCompleted) -> Sequence[Emit]:
        """Store the variants, or reject the photo; what was decided before is said again.

        Raises Unrecoverable(unknown_post) for a photo that has no row, StoreAway, Transient.
        """
        photo = await self._row(event.photo_id)
        if photo.reason == BLOCKED and await self._screening.restored(photo.photo_id):
            photo = await self._photos.restore(photo.photo_id)
        if (emits := decided(event, photo)) is not None:
            await self._leave_nothing(event, photo)
            return emits
        try:
            async with self._room:
                rendered = await self._screened(event, photo.sha256)
                await self._store(event, rendered)
        except Rejected as error:
            return await self._reject(event, error.reason, error.detail)
        except Unrecoverable as error:
            if error.reason is not Reason.MISSING_OBJECT:
                raise
            return await self._reject(event, OBJECT_MISSING, error.detail)
        photo = await self._row(event.photo_id)  # who ends it looks for what it holds after that
        await self._leave_nothing(event, photo)
        emits = decided(event, photo)
        if emits is None:
            return [Emit(PHOTO_PROCESSED, processed(event, with_renditions(photo, rendered)))]
        return emits

    async def _row(self, photo_id: str) -> Photo:
        photo = await self._photos.get(photo_id)
        if photo is None:
            raise Unrecoverable(Reason.UNKNOWN_POST, photo_id)
        return photo

    async def _screened(self, event: UploadCompleted, announced: str | None) -> Rendered:
        """The renditions of a photo that may be published. Raises Rejected."""
        source = await self._objects.get(self._uploads.bucket, event.object_key, etag=event.etag)
        rendered = await self._decoder.render(source, event.content_type, focus_of(event))
        if announced not in (None, rendered.sha256):  # S3 can't sum a multipart upload
            raise Rejected("checksum_mismatch", f"announced as {announced}")
        match = await self._screening.match(event.photo_id, rendered.phash)
        if match is not None:
            await self._screening.stop(event, source, rendered.phash, match)
            raise Rejected(BLOCKED)
        return rendered

    async def _store(self, event: UploadCompleted, rendered: Rendered) -> None:
        """Hold the objects, then put them: what is held isn't removed with a twin's deletion."""
        hashes = {each.content_hash for each in rendered.variants}
        await self._refs.hold(event.user_id, hashes, event.photo_id)
        await asyncio.gather(
            *(
                self._objects.put(
                    self._uploads.media_bucket,
                    object_key(event.user_id, each.content_hash),
                    each.data,
                    each.content_type,
                )
                for each in rendered.variants
            )
        )
        await self._decoder.keep(event.user_id, rendered, event.content_type, focus_of(event))

    async def _leave_nothing(self, event: UploadCompleted, photo: Photo) -> None:
        """Of a photo that won't be seen nothing stays but what is kept for review."""
        if photo.status not in {PhotoStatus.REJECTED, PhotoStatus.DELETED}:
            return
        await self._objects.delete(self._uploads.bucket, event.object_key)
        if hashes := await self._refs.held(event.photo_id):
            await self._refs.release(event.user_id, hashes, event.photo_id, now_ms())

    async def _reject(self, event: UploadCompleted, reason: str, detail: str) -> Sequence[Emit]:
        """The row first, so that no one hears of a rejection that a reader can't see."""
        await self._photos.reject(event.photo_id, reason)
        photo = await self._row(event.photo_id)
        await self._leave_nothing(event, photo)
        if photo.status is PhotoStatus.REJECTED:
            return [Emit(PHOTO_REJECTED, rejected(event, photo.reason or reason, detail))]
        return decided(event, photo) or []
