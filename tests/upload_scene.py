"""process_photo on the twins: uploads by anybody, a decoder whose pictures follow the bytes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from domain.entities import Photo, PhotoStatus
from domain.renditions import Focus, Rendered, Variant, object_key
from domain.settings import Blocked, Uploads
from schemas.events import Focus as EventFocus
from schemas.events import PhotoProcessed, PhotoRejected, UploadCompleted
from stores.memory.cassandra import MemoryMediaRefs, MemoryPhotos, MemoryRenditions
from stores.memory.moderation import MemoryBlocklist, MemoryModeration
from stores.memory.s3 import MemoryObjects
from stores.remembering_decoder import RememberingDecoder
from stores.screening import Screening
from streams.process_photo import ProcessPhoto
from streams.runtime.stage import Emit
from tests.fresh import fresh_id, now_ms

UPLOADS = Uploads()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def phash_of(data: bytes) -> str:
    """The perceptual hash that the decoder below gives: that of the bytes before any `|`."""
    return sha256(data.partition(b"|")[0])


class FollowingDecoder:
    """Renditions that follow the bytes; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, str, Focus | None]] = []

    async def render(self, source: object, declared_type: str, focus: Focus | None) -> Rendered:
        assert isinstance(source, bytes)
        self.asked.append((source, declared_type, focus))
        variants = (
            Variant("thumbnail", b"small " + source + str(focus).encode(), 150, 150),
            Variant("feed", b"medium " + source, 640, 480),
            Variant("full", b"large " + source, 1080, 810),
        )
        return Rendered(4000, 3000, variants, "cGxhY2Vob2xkZXI", sha256(source), phash_of(source))


@dataclass
class ToyFilter:
    """A filter that answers as it is told, exactly where it isn't."""

    says: bool | None = None

    def __post_init__(self) -> None:
        self.known: set[str] = set()

    def might_know(self, sha256: str) -> bool:
        return sha256 in self.known if self.says is None else self.says

    def add(self, sha256: str) -> None:
        self.known.add(sha256)


class SpiedObjects(MemoryObjects):
    """Remembers every put, also of what is gone again."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[tuple[str, str]] = []

    async def put(self, bucket: str, key: str, data: bytes, content_type: str) -> None:
        self.puts.append((bucket, key))
        await super().put(bucket, key, data, content_type)


class UploadScene:
    """The stage with everything it needs."""

    def __init__(self, says: bool | None = None) -> None:
        self.photos, self.refs, self.objects = MemoryPhotos(), MemoryMediaRefs(), SpiedObjects()
        self.renditions, self.decoder = MemoryRenditions(), FollowingDecoder()
        self.blocklist = MemoryBlocklist()
        self.moderation = MemoryModeration(self.blocklist)
        self.screening = Screening(
            self.blocklist, self.moderation, self.objects, UPLOADS.bucket, Blocked()
        )
        self.filter = ToyFilter(says)
        renderer = RememberingDecoder(
            self.decoder, self.renditions, self.objects, UPLOADS.media_bucket, self.filter
        )
        self.handle = ProcessPhoto(
            self.photos, self.refs, self.objects, renderer, self.screening, UPLOADS
        )

    async def uploaded(
        self,
        data: bytes,
        user_id: str | None = None,
        focus: EventFocus | None = None,
        content_type: str = "image/jpeg",
    ) -> UploadCompleted:
        """An upload that was completed, and its event."""
        photo_id, user_id = fresh_id("ph_"), user_id or fresh_id("u_")
        key = f"{user_id}/{photo_id}"
        photo = Photo(
            photo_id=photo_id,
            user_id=user_id,
            status=PhotoStatus.PROCESSING,
            filename="a.jpg",
            content_type=content_type,
            size_bytes=len(data),
            object_key=key,
        )
        await self.photos.add(photo)
        await self.objects.put(UPLOADS.bucket, key, data, content_type)
        info = await self.objects.head(UPLOADS.bucket, key)
        assert info is not None
        return UploadCompleted(
            event_id=fresh_id(),
            occurred_at=now_ms(),
            version=1,
            photo_id=photo_id,
            user_id=user_id,
            object_key=key,
            etag=info.etag,
            content_type=content_type,
            size_bytes=len(data),
            caption="a hill",
            tags=("hills",),
            alt_text="",
            focus=focus,
        )

    async def published(self, event: UploadCompleted) -> PhotoProcessed:
        """What the stage tells of an upload that is to be published; it is, at once."""
        told = only(await self.handle(event))
        assert isinstance(told, PhotoProcessed)
        row = await self.row(event.photo_id)
        post = replace(row, sha256=told.sha256, variants=told.variants)
        assert await self.photos.publish(post, now_ms()) is not None
        return told

    async def rejected(self, event: UploadCompleted) -> PhotoRejected:
        """What the stage tells of an upload that is not."""
        told = only(await self.handle(event))
        assert isinstance(told, PhotoRejected)
        return told

    async def row(self, photo_id: str) -> Photo:
        row = await self.photos.get(photo_id)
        assert row is not None
        return row

    def media(self) -> set[str]:
        """Keys in the media bucket."""
        return {key for bucket, key in self.objects.kept if bucket == UPLOADS.media_bucket}


def keys(told: PhotoProcessed) -> set[str]:
    """Where a post's objects are."""
    return {object_key(told.user_id, each.hash) for each in told.variants}


def only(emits: Sequence[Emit]) -> object:
    [emit] = emits
    return emit.event
