"""Blocked content: nothing of it is stored in public; what is restored was as if never stopped."""

import pytest

from domain.entities import PhotoStatus
from domain.errors import StoreAway
from domain.moderation import AlreadyRestored, BlockedHash, kept_key
from schemas.events import PhotoProcessed, UploadCompleted
from tests.fresh import now_ms
from tests.upload_scene import UPLOADS, UploadScene, keys, phash_of

PHOTO = b"blocked picture"


def entry(phash: str) -> BlockedHash:
    return BlockedHash(phash, "a list", "abuse", now_ms())


def near(phash: str, bits: int) -> str:
    return f"{int(phash, 16) ^ ((1 << bits) - 1):064x}"


async def stopped(scene: UploadScene) -> UploadCompleted:
    await scene.blocklist.add([entry(near(phash_of(PHOTO), 31))])
    event = await scene.uploaded(PHOTO)
    assert (await scene.rejected(event)).reason == "blocked"
    return event


async def test_a_match_puts_nothing_into_the_media_bucket_and_opens_a_case() -> None:
    scene = UploadScene()
    event = await stopped(scene)
    assert {bucket for bucket, _ in scene.objects.puts} == {UPLOADS.bucket}
    row = await scene.row(event.photo_id)
    assert (row.status, row.reason, row.variants) == (PhotoStatus.REJECTED, "blocked", ())
    case = await scene.moderation.get(event.photo_id)
    assert case is not None
    assert (case.distance, case.source, case.reason, case.status) == (31, "a list", "abuse", "open")
    assert await scene.objects.head(UPLOADS.bucket, event.object_key) is None
    assert await scene.objects.get(UPLOADS.bucket, case.kept_key) == PHOTO
    assert not scene.renditions.rows


async def test_the_client_is_not_told_what_it_matched() -> None:
    scene = UploadScene()
    await scene.blocklist.add([entry(phash_of(PHOTO))])
    told = await scene.rejected(await scene.uploaded(PHOTO))
    assert (told.reason, told.detail) == ("blocked", "")


async def test_one_bit_too_far_is_published() -> None:
    scene = UploadScene()
    await scene.blocklist.add([entry(near(phash_of(PHOTO), 32))])
    await scene.published(await scene.uploaded(PHOTO))


async def test_an_import_counts_from_the_next_photo_on_and_so_does_a_removal() -> None:
    scene = UploadScene()
    await scene.published(await scene.uploaded(PHOTO))
    await scene.blocklist.add([entry(phash_of(PHOTO))])
    await scene.rejected(await scene.uploaded(PHOTO))
    assert await scene.blocklist.remove(phash_of(PHOTO))
    await scene.published(await scene.uploaded(PHOTO))


async def test_said_again_it_is_the_same_case_and_the_same_event() -> None:
    scene = UploadScene()
    await scene.blocklist.add([entry(phash_of(PHOTO))])
    event = await scene.uploaded(PHOTO)
    first = await scene.handle(event)
    case = await scene.moderation.get(event.photo_id)
    assert list(await scene.handle(event)) == list(first)
    assert await scene.moderation.get(event.photo_id) == case


async def test_a_blocklist_that_cannot_be_read_stops_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = UploadScene()

    async def away() -> int:
        raise StoreAway("postgres")

    monkeypatch.setattr(scene.blocklist, "version", away)
    event = await scene.uploaded(PHOTO)
    with pytest.raises(StoreAway):
        await scene.handle(event)
    assert scene.media() == set()
    assert (await scene.row(event.photo_id)).status is PhotoStatus.PROCESSING


@pytest.mark.parametrize("step", ["put", "open", "reject", "delete"])
async def test_dying_at_any_step_ends_as_if_it_had_not(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    scene = UploadScene()
    await scene.blocklist.add([entry(phash_of(PHOTO))])
    event = await scene.uploaded(PHOTO)
    place = {
        "put": scene.objects,
        "open": scene.moderation,
        "reject": scene.photos,
        "delete": scene.objects,
    }[step]
    for after in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(place, step, dies(getattr(place, step), after=after))
            with pytest.raises(StoreAway):
                await scene.handle(event)
        if step in {"reject", "delete"} and after:
            break
    assert (await scene.rejected(event)).reason == "blocked"
    assert scene.media() == set()
    assert await scene.objects.head(UPLOADS.bucket, event.object_key) is None
    case = await scene.moderation.get(event.photo_id)
    assert case is not None
    assert await scene.objects.get(UPLOADS.bucket, case.kept_key) == PHOTO


async def test_a_restored_photo_is_published_as_if_it_had_never_been_stopped() -> None:
    scene = UploadScene()
    event = await stopped(scene)
    await scene.screening.restore(event.photo_id, "sam", "a statue")
    [again] = scene.moderation.outbox
    assert again.event_id != event.event_id
    told = await scene.published(again)
    assert (told.caption, told.tags) == (event.caption, event.tags)
    assert keys(told) == scene.media()
    row = await scene.row(event.photo_id)
    assert (row.status, row.reason) == (PhotoStatus.PUBLISHED, None)
    assert await scene.objects.get(UPLOADS.bucket, event.object_key) == PHOTO
    assert await scene.objects.head(UPLOADS.bucket, kept_key(event)) is None
    [late] = await scene.handle(event)
    assert isinstance(late.event, PhotoProcessed)
    assert await scene.objects.head(UPLOADS.bucket, event.object_key) is not None


async def test_a_restoration_that_died_at_its_end_is_finished_and_brings_nothing_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = UploadScene()
    event = await stopped(scene)
    with monkeypatch.context() as patch:
        patch.setattr(scene.objects, "delete", dies(scene.objects.delete, after=False))
        with pytest.raises(StoreAway):
            await scene.screening.restore(event.photo_id, "sam", "a statue")
    await scene.objects.delete(UPLOADS.bucket, event.object_key)  # published, deleted by its owner
    with pytest.raises(AlreadyRestored):
        await scene.screening.restore(event.photo_id, "sam", "a statue")
    assert scene.objects.kept == {}


async def test_a_decision_can_be_mended_until_the_photo_is_back() -> None:
    scene = UploadScene()
    event = await stopped(scene)
    await scene.moderation.uphold(event.photo_id, "sam", "it is", now_ms())
    assert (await scene.rejected(event)).reason == "blocked"
    await scene.moderation.restore(event, "kim", "it is not", now_ms())
    with pytest.raises(AlreadyRestored):
        await scene.moderation.uphold(event.photo_id, "sam", "it is", now_ms())
    made = await scene.moderation.decisions(event.photo_id)
    assert [(each.decision, each.decided_by) for each in made] == [
        ("upheld", "sam"),
        ("restored", "kim"),
    ]


def dies(call, *, after: bool):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - wraps any method
    """The call, but with its answer lost, or never made."""

    async def dying(*args: object) -> None:
        if after:
            await call(*args)
        raise StoreAway("died")

    return dying
