"""The reconciler: whatever dies at whatever step, an accepted upload ends, no other publishes."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from domain import uploads
from domain.entities import Photo, PhotoStatus
from domain.errors import Transient
from domain.ids import EPOCH_MS, compose, spell
from domain.moderation import BLOCKED
from domain.settings import Uploads
from domain.uploads import OpenUpload, Step
from schemas.events import Event, PhotoRejected, UploadCompleted
from stores.memory.cassandra import MemoryPhotos
from stores.memory.open_uploads import MemoryMultiparts, MemoryOpenUploads
from stores.memory.s3 import MemoryObject, MemoryObjects
from streams.reconcile import Reconciler
from tests.streams.dying_ports import Dying, Killed
from topics.topic import Topic

LIMITS = Uploads()
MINUTE = 60_000
START = EPOCH_MS + 1000 * MINUTE


class Log:
    """The event log; its readers are fed by hand."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(
        self, topic: Topic[Any], event: Event, headers: Mapping[str, bytes] | None = None
    ) -> None:
        del topic, headers
        self.events.append(event)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Scene:
    """One upload, its stores, a clock, and processes that can be born again."""

    def __init__(self, size: int = 5) -> None:
        self.photos, self.opened = MemoryPhotos(), MemoryOpenUploads()
        self.objects, self.log = MemoryObjects(), Log()
        self.multiparts = MemoryMultiparts(self.objects)
        self.now = START
        photo_id = "ph_" + spell(compose(START, 1, 1))
        self.photo = Photo(
            photo_id=photo_id,
            user_id="u_" + spell(compose(START, 1, 2)),
            status=PhotoStatus.AWAITING_UPLOAD,
            filename="a.jpg",
            content_type="image/jpeg",
            size_bytes=size,
            object_key=f"u/{photo_id}",
            expires_at=START + LIMITS.url_ttl_s * 1000,
        )
        self.reborn()

    def reborn(self, at: int = 0, *, after: bool = False) -> None:
        """A new process; with `at` it dies at that call."""
        count = [0]
        stores = (self.photos, self.opened, self.objects, self.multiparts, self.log)
        ports: list[Any] = [Dying(port, count, at, after=after) for port in stores]
        photos, opened, objects, multiparts, log = ports
        self.reconciler = Reconciler(
            photos, opened, objects, multiparts, log, LIMITS, lambda: self.now
        )

    async def announced(self, upload_id: str | None = None) -> None:
        await self.opened.add(OpenUpload(self.photo.photo_id, upload_id))
        await self.photos.add(self.photo)

    async def put(self) -> None:
        await self.objects.put(LIMITS.bucket, self.photo.object_key, b"bytes", "image/jpeg")

    async def completed(self) -> None:
        await self.announced()
        await self.put()
        await self.photos.mark_processing(self.photo)

    async def minutes(self, count: int) -> None:
        for _ in range(count):
            self.now += MINUTE
            await self.reconciler.round()

    async def row(self) -> Photo:
        row = await self.photos.get(self.photo.photo_id)
        assert row is not None
        return row


async def test_an_upload_without_its_event_gets_it_within_two_rounds() -> None:
    scene = Scene()
    await scene.completed()
    await scene.minutes(2)
    [event] = scene.log.of(UploadCompleted)
    info = await scene.objects.head(LIMITS.bucket, scene.photo.object_key)
    assert info is not None
    assert event == uploads.completed(await scene.row(), info.etag, event.occurred_at)
    assert event.event_id == f"{scene.photo.photo_id[3:]}.completed"


async def test_a_lagging_stage_is_asked_less_and_less() -> None:
    scene = Scene()
    await scene.completed()
    await scene.minutes(64)
    assert len(scene.log.of(UploadCompleted)) == 6
    assert len({event.event_id for event in scene.log.of(UploadCompleted)}) == 1


async def test_a_published_photo_is_looked_at_no_more() -> None:
    scene = Scene()
    await scene.completed()
    await scene.photos.publish(scene.photo, scene.now)
    await scene.minutes(3)
    assert scene.opened.rows == {}
    assert scene.log.events == []
    assert await scene.objects.head(LIMITS.bucket, scene.photo.object_key) is not None


@pytest.mark.parametrize("uploaded", [False, True])
async def test_what_was_never_completed_is_swept_and_never_published(uploaded: bool) -> None:
    scene = Scene()
    await scene.announced()
    if uploaded:
        await scene.put()
    await scene.minutes(15)
    assert (await scene.row()).status is PhotoStatus.AWAITING_UPLOAD
    await scene.minutes(4)
    row = await scene.row()
    assert (row.status, row.reason) == (PhotoStatus.REJECTED, uploads.EXPIRED)
    assert scene.objects.kept == {}
    assert scene.opened.rows == {}
    [event] = scene.log.events
    assert isinstance(event, PhotoRejected)
    assert event.reason == uploads.EXPIRED


async def test_bytes_that_come_after_an_upload_was_given_up_are_swept_too() -> None:
    scene = Scene()
    await scene.announced()
    await scene.photos.reject(scene.photo.photo_id, uploads.GIVEN_UP)
    await scene.minutes(5)
    await scene.put()
    await scene.minutes(13)
    assert scene.objects.kept == {}
    assert scene.opened.rows == {}
    assert scene.log.events == []


async def test_an_accepted_upload_whose_bytes_are_gone_is_rejected_where_its_owner_sees_it() -> (
    None
):
    scene = Scene()
    await scene.completed()
    await scene.objects.delete(LIMITS.bucket, scene.photo.object_key)
    await scene.minutes(3)
    assert (await scene.row()).reason == uploads.OBJECT_MISSING
    assert [event.reason for event in scene.log.of(PhotoRejected)] == [uploads.OBJECT_MISSING]
    assert scene.opened.rows == {}


async def test_nothing_is_in_limbo_for_ever() -> None:
    scene = Scene()
    await scene.completed()
    await scene.minutes(2)
    scene.now += 7 * 24 * 60 * MINUTE
    await scene.minutes(1)
    assert (await scene.row()).reason == uploads.NEVER_PROCESSED
    assert scene.opened.rows == {}


async def test_what_was_completed_on_its_last_day_is_given_time_to_be_processed() -> None:
    scene = Scene()
    scene.photo = replace(scene.photo, expires_at=START + LIMITS.multipart_ttl_s * 1000)
    await scene.announced("a multipart upload")
    await scene.put()
    scene.now += LIMITS.multipart_ttl_s * 1000
    await scene.photos.mark_processing(scene.photo)
    await scene.minutes(60)
    assert (await scene.row()).status is PhotoStatus.PROCESSING
    assert scene.log.of(UploadCompleted)
    scene.now += 12 * 60 * MINUTE
    await scene.minutes(1)
    assert (await scene.row()).reason == uploads.NEVER_PROCESSED
    assert scene.objects.kept == {}
    assert scene.opened.rows == {}


async def test_bytes_that_come_after_a_photo_was_rejected_are_swept() -> None:
    scene = Scene()
    await scene.completed()
    await scene.photos.reject(scene.photo.photo_id, "not_an_image")
    await scene.minutes(15)
    assert scene.objects.kept != {}
    await scene.minutes(4)
    assert scene.objects.kept == {}
    assert scene.opened.rows == {}
    assert scene.log.events == []


async def test_what_was_blocked_is_left_alone_for_it_may_be_restored() -> None:
    scene = Scene()
    await scene.completed()
    await scene.photos.reject(scene.photo.photo_id, BLOCKED)
    await scene.minutes(20)
    assert scene.objects.kept != {}
    assert scene.opened.rows == {}


async def test_a_multipart_upload_nobody_ends_is_aborted_after_a_week() -> None:
    scene = Scene()
    upload_id = await scene.multiparts.begin(scene.photo.object_key, "image/jpeg")
    scene.photo = replace(scene.photo, expires_at=START + LIMITS.multipart_ttl_s * 1000)
    await scene.announced(upload_id)
    await scene.minutes(30)
    assert await scene.multiparts.parts(scene.photo.object_key, upload_id) == []
    assert (await scene.row()).status is PhotoStatus.AWAITING_UPLOAD
    scene.now += LIMITS.multipart_ttl_s * 1000
    await scene.minutes(2)
    assert await scene.multiparts.parts(scene.photo.object_key, upload_id) is None
    assert (await scene.row()).reason == uploads.EXPIRED


async def test_an_announcement_that_died_half_way_leaves_nothing() -> None:
    scene = Scene()
    await scene.opened.add(OpenUpload(scene.photo.photo_id))
    await scene.minutes(2)
    assert scene.opened.rows == {}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 9))
@pytest.mark.parametrize("case", ["no event", "no bytes", "expired"])
async def test_a_reconciler_killed_at_any_call_is_made_good_by_the_next(
    case: str, at: int, after: bool
) -> None:
    scene = Scene()
    await (scene.announced() if case == "expired" else scene.completed())
    if case == "no bytes":
        await scene.objects.delete(LIMITS.bucket, scene.photo.object_key)
    scene.now += (20 if case == "expired" else 1) * MINUTE
    with_patience = scene.reconciler
    scene.reborn(at, after=after)
    scene.reconciler._processing = with_patience._processing  # noqa: SLF001 - it had been seen before
    try:
        await scene.minutes(3)
    except Killed:
        scene.reborn()
        await scene.minutes(4)
    if case == "no event":
        assert {event.event_id for event in scene.log.events} == {
            f"{scene.photo.photo_id[3:]}.completed"
        }
        return
    reason = uploads.EXPIRED if case == "expired" else uploads.OBJECT_MISSING
    assert (await scene.row()).reason == reason
    assert {type(event) for event in scene.log.events} == {PhotoRejected}
    assert len({event.event_id for event in scene.log.events}) == 1
    assert scene.opened.rows == {}
    assert scene.objects.kept == {}


def test_the_steps_of_an_upload_that_is_still_in_time_are_to_wait() -> None:
    photo = Scene().photo
    assert uploads.next_step(photo, START, START + MINUTE, stuck=True) is Step.WAIT
    for status in (PhotoStatus.PUBLISHED, PhotoStatus.DELETED):
        ended = replace(photo, status=status)
        assert uploads.next_step(ended, START, START, stuck=False) is Step.CLOSE


async def test_two_reconcilers_side_by_side_say_the_same() -> None:
    scene = Scene()
    await scene.announced()
    scene.now += 20 * MINUTE
    first = scene.reconciler
    scene.reborn()
    await asyncio.gather(first.round(), scene.reconciler.round())
    assert len({event.event_id for event in scene.log.events}) == 1
    assert (await scene.row()).reason == uploads.EXPIRED


async def test_one_object_that_never_answers_holds_up_no_other_upload() -> None:
    scene = Scene()
    other = replace(scene.photo, photo_id="ph_" + spell(compose(START, 1, 3)), object_key="u/other")
    for photo in (scene.photo, other):
        await scene.opened.add(OpenUpload(photo.photo_id, None))
        await scene.photos.add(photo)
        await scene.objects.put(LIMITS.bucket, photo.object_key, b"bytes", "image/jpeg")
        await scene.photos.mark_processing(photo)
    answering = scene.objects.head

    async def head(bucket: str, key: str) -> MemoryObject | None:
        if key == scene.photo.object_key:
            raise Transient("always 503")
        return await answering(bucket, key)

    scene.objects.head = head  # type: ignore[method-assign] # one object that can't be read
    await scene.minutes(2)
    assert {event.photo_id for event in scene.log.of(UploadCompleted)} == {other.photo_id}
