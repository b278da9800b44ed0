"""What an upload must be and what is to be done with one that came to no end: pure rules.

awaiting_upload ends by `complete` or by its expiry; processing ends by its outcome, and an outcome
that doesn't come is asked for again (seed section 5: the reconciliation job).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from domain import ids
from domain.entities import Photo, PhotoStatus
from domain.moderation import BLOCKED
from schemas.events import PhotoRejected, UploadCompleted

EXPIRED = "expired"
GIVEN_UP = "given_up"
OBJECT_MISSING = "object_missing"
NEVER_PROCESSED = "never_processed"
UNFINISHED = frozenset({EXPIRED, GIVEN_UP})
"""Why an upload ended that was never accepted."""
TOLD = frozenset({EXPIRED, OBJECT_MISSING, NEVER_PROCESSED})
"""Why the reconciler rejects: whoever waits for the outcome hears of it by an event."""
_GRACE_MS = 60_000
"""A PUT that began with a still valid URL may take a while."""
_LONGEST_PROCESSING_MS = 6 * 86_400_000
"""Shorter than the events are kept: what they can't settle by then has no other way to end."""
_AFTER_THE_LAST_COMPLETE_MS = 12 * 3_600_000
"""A multipart upload may be completed on its last day, and is then to be processed like any."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload; `etag` is "" while it is only planned."""

    number: int
    size_bytes: int
    etag: str = ""


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """An upload whose end is not settled; `upload_id` names its multipart upload, if it is one."""

    photo_id: str
    upload_id: str | None = None


class Step(StrEnum):
    """What the reconciler does with an open upload."""

    WAIT = "wait"
    CLOSE = "close"
    EXPIRE = "expire"
    DISCARD = "discard"
    ASK_AGAIN = "ask_again"
    GIVE_UP = "give_up"


def plan_parts(size_bytes: int, part_bytes: int) -> list[Part]:
    """The parts of an upload of `size_bytes`, numbered from 1: all of one size but the last."""
    starts = range(0, size_bytes, part_bytes)
    return [
        Part(number, min(part_bytes, size_bytes - start)) for number, start in enumerate(starts, 1)
    ]


def missing_parts(planned: Iterable[Part], held: Iterable[Part]) -> list[Part]:
    """Those planned that aren't held in their full size."""
    sizes = {part.number: part.size_bytes for part in held}
    return [part for part in planned if sizes.get(part.number) != part.size_bytes]


def completed(photo: Photo, etag: str, now: int) -> UploadCompleted:
    """The event of a verified upload; its id is the photo's, so that it is one event for good."""
    return UploadCompleted(
        event_id=ids.derived(photo.photo_id.removeprefix("ph_"), "completed"),
        occurred_at=now,
        version=photo.version,
        photo_id=photo.photo_id,
        user_id=photo.user_id,
        object_key=photo.object_key,
        etag=etag,
        content_type=photo.content_type,
        size_bytes=photo.size_bytes,
        caption=photo.caption,
        tags=photo.tags,
        alt_text=photo.alt_text,
        location=photo.location,
        focus=photo.focus,
    )


def rejected(photo: Photo, now: int) -> PhotoRejected:
    """The event of an upload that the reconciler has rejected; the same one on every retry."""
    return PhotoRejected(
        event_id=ids.derived(photo.photo_id.removeprefix("ph_"), "completed.rejected"),
        occurred_at=now,
        version=photo.version,
        photo_id=photo.photo_id,
        user_id=photo.user_id,
        reason=photo.reason or "",
        detail="",
    )


def next_step(photo: Photo | None, announced_at: int, now: int, *, stuck: bool) -> Step:
    """What is to be done with an open upload; times in ms, `stuck` when its outcome is overdue.

    Bytes of an upload that will not be published are discarded when its URLs have run out: until
    then they could come again. What was blocked is left alone, for a restored one puts them back.
    """
    if photo is None:  # announced, but the row was never written: nobody was given a URL
        return Step.CLOSE if now > announced_at + _GRACE_MS else Step.WAIT
    over = now > photo.expires_at + _GRACE_MS
    match photo.status:
        case PhotoStatus.AWAITING_UPLOAD:
            return Step.EXPIRE if over else Step.WAIT
        case PhotoStatus.PROCESSING if now > max(
            announced_at + _LONGEST_PROCESSING_MS, photo.expires_at + _AFTER_THE_LAST_COMPLETE_MS
        ):
            return Step.GIVE_UP
        case PhotoStatus.PROCESSING:
            return Step.ASK_AGAIN if stuck else Step.WAIT
        case PhotoStatus.REJECTED if photo.reason != BLOCKED:
            return Step.DISCARD if over or photo.reason in TOLD else Step.WAIT
        case _:
            return Step.CLOSE
