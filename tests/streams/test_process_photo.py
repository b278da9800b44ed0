"""upload.completed → photo.processed | photo.rejected: the twins, and a decoder of one's choice."""

import hashlib
from collections.abc import Collection
from dataclasses import replace

import pytest

from domain.entities import Photo, PhotoStatus
from domain.errors import Reason, Transient, Unrecoverable
from domain.renditions import Focus, Rejected, Rendered, Variant, object_key
from domain.settings import Blocked, Uploads
from schemas.events import Focus as EventFocus
from schemas.events import PhotoProcessed, PhotoRejected, UploadCompleted
from stores.memory.cassandra import MemoryMediaRefs, MemoryPhotos, MemoryRenditions
from stores.memory.moderation import MemoryBlocklist, MemoryModeration
from stores.memory.s3 import MemoryObjects
from stores.remembering_decoder import RememberingDecoder
from stores.screening import Screening
from streams.process_photo import ProcessPhoto
from tests.fresh import fresh_id, now_ms
from tests.upload_scene import ToyFilter

BYTES = b"as good as a photo"
PHASH = "0f" * 32
UPLOADS = Uploads()


class ToyDecoder:
    """Gives what it was told to give, and remembers what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[object, str, Focus | None]] = []

    async def render(self, source: object, declared_type: str, focus: Focus | None) -> Rendered:
        self.asked.append((source, declared_type, focus))
        if self.error is not None:
            raise self.error
        variants = (
            Variant("thumbnail", b"small", 150, 150),
            Variant("feed", b"medium", 640, 480),
            Variant("full", b"large", 1080, 810),
        )
        sha256 = hashlib.sha256(BYTES).hexdigest()
        return Rendered(4000, 3000, variants, "cGxhY2Vob2xkZXI", sha256, PHASH)


class Scene:
    """One upload on its way, and the handler."""

    def __init__(self, error: Exception | None = None) -> None:
        self.photos, self.objects = MemoryPhotos(), MemoryObjects()
        self.refs = MemoryMediaRefs()
        self.decoder = ToyDecoder(error)
        renderer = RememberingDecoder(
            self.decoder, MemoryRenditions(), self.objects, UPLOADS.media_bucket, ToyFilter()
        )
        blocklist = MemoryBlocklist()
        screening = Screening(
            blocklist, MemoryModeration(blocklist), self.objects, UPLOADS.bucket, Blocked()
        )
        self.handle = ProcessPhoto(
            self.photos, self.refs, self.objects, renderer, screening, UPLOADS
        )
        self.photo = Photo(
            photo_id=fresh_id("ph_"),
            user_id=fresh_id("u_"),
            status=PhotoStatus.PROCESSING,
            filename="a.jpg",
            content_type="image/jpeg",
            size_bytes=len(BYTES),
            object_key="u/a",
        )

    async def upload(self) -> UploadCompleted:
        await self.photos.add(self.photo)
        await self.objects.put("uploads", "u/a", BYTES, "image/jpeg")
        info = await self.objects.head("uploads", "u/a")
        assert info is not None
        return UploadCompleted(
            event_id=fresh_id(),
            occurred_at=now_ms(),
            version=1,
            photo_id=self.photo.photo_id,
            user_id=self.photo.user_id,
            object_key="u/a",
            etag=info.etag,
            content_type="image/jpeg",
            size_bytes=len(BYTES),
            caption="a hill",
            tags=("hills",),
            alt_text="",
            focus=EventFocus(0.5, 0.25),
        )

    async def stored(self) -> Photo:
        row = await self.photos.get(self.photo.photo_id)
        assert row is not None
        return row


async def test_the_variants_are_stored_before_anyone_hears_of_the_photo() -> None:
    scene = Scene()
    event = await scene.upload()
    [emit] = await scene.handle(event)
    told = emit.event
    assert isinstance(told, PhotoProcessed)
    assert (told.photo_id, told.caption, told.tags) == (event.photo_id, "a hill", ("hills",))
    assert (told.width, told.height) == (4000, 3000)
    assert [v.name for v in told.variants] == ["thumbnail", "feed", "full"]
    for variant, data in zip(told.variants, (b"small", b"medium", b"large"), strict=True):
        key = object_key(event.user_id, variant.hash)
        assert await scene.objects.get(UPLOADS.media_bucket, key) == data
        assert variant.size_bytes == len(data)
    assert scene.decoder.asked == [(BYTES, "image/jpeg", (0.5, 0.25))]


async def test_the_same_upload_again_says_the_same() -> None:
    scene = Scene()
    event = await scene.upload()
    assert list(await scene.handle(event)) == list(await scene.handle(event))


async def test_a_photo_that_is_none_is_rejected_where_the_client_sees_it() -> None:
    scene = Scene(Rejected("not_an_image", "GIF89a"))
    event = await scene.upload()
    [emit] = await scene.handle(event)
    assert isinstance(emit.event, PhotoRejected)
    assert emit.event.reason == "not_an_image"
    row = await scene.stored()
    assert (row.status, row.reason) == (PhotoStatus.REJECTED, "not_an_image")
    assert scene.objects.kept == {}


@pytest.mark.parametrize("trouble", ["gone", "replaced"])
async def test_an_object_that_is_gone_or_not_the_one_completed_is_rejected(trouble: str) -> None:
    scene = Scene()
    event = await scene.upload()
    if trouble == "gone":
        await scene.objects.delete("uploads", "u/a")
    else:
        await scene.objects.put("uploads", "u/a", b"another", "image/jpeg")
    [emit] = await scene.handle(event)
    assert isinstance(emit.event, PhotoRejected)
    assert emit.event.reason == (await scene.stored()).reason == "object_missing"
    assert scene.decoder.asked == []


async def test_other_bytes_than_were_announced_are_rejected() -> None:
    scene = Scene()
    scene.photo = replace(scene.photo, sha256="00" * 32)
    [emit] = await scene.handle(await scene.upload())
    assert isinstance(emit.event, PhotoRejected)
    assert emit.event.reason == (await scene.stored()).reason == "checksum_mismatch"
    assert scene.objects.kept == {}


@pytest.mark.parametrize("end", ["rejected", "deleted"])
async def test_a_photo_that_ends_while_its_variants_are_stored_holds_none(
    end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene()
    event = await scene.upload()
    hold = scene.refs.hold

    async def ended_meanwhile(user_id: str, hashes: Collection[str], photo_id: str) -> None:
        if end == "rejected":
            await scene.photos.reject(photo_id, "never_processed")
        else:
            await scene.photos.delete(photo_id)
        await hold(user_id, hashes, photo_id)

    monkeypatch.setattr(scene.refs, "hold", ended_meanwhile)
    emits = await scene.handle(event)
    assert [type(emit.event) for emit in emits] == [PhotoRejected] * (end == "rejected")
    assert await scene.refs.held(event.photo_id) == set()
    assert len(await scene.refs.unheld(now_ms() + 1000, 9)) == 3
    assert {bucket for bucket, _ in scene.objects.kept} == {"media"}  # until the sweep


async def test_what_was_decided_before_is_said_again_without_decoding() -> None:
    scene = Scene(Rejected("truncated"))
    event = await scene.upload()
    first = await scene.handle(event)
    [again] = await scene.handle(event)
    assert isinstance(again.event, PhotoRejected)
    assert again.event.event_id == first[0].event.event_id
    assert len(scene.decoder.asked) == 1


async def test_a_published_photo_is_told_from_its_row() -> None:
    scene = Scene()
    event = await scene.upload()
    [first] = await scene.handle(event)
    assert isinstance(first.event, PhotoProcessed)
    row = replace(
        scene.photo,
        sha256=first.event.sha256,
        width=4000,
        height=3000,
        placeholder=first.event.placeholder,
        variants=first.event.variants,
    )
    await scene.photos.publish(row, now_ms())
    assert list(await scene.handle(event)) == [first]
    assert len(scene.decoder.asked) == 1


async def test_a_photo_nobody_knows_is_a_dead_letter() -> None:
    scene = Scene()
    event = replace(await scene.upload(), photo_id=fresh_id("ph_"))
    with pytest.raises(Unrecoverable) as raised:
        await scene.handle(event)
    assert raised.value.reason is Reason.UNKNOWN_POST


async def test_a_decoder_that_died_is_tried_again() -> None:
    scene = Scene(Transient("killed"))
    with pytest.raises(Transient):
        await scene.handle(await scene.upload())
    assert (await scene.stored()).status is PhotoStatus.PROCESSING
