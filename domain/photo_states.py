"""What may become of a photo: pure steps from the stored row to the next, or to nothing.

awaiting_upload → processing → published → deleted, and rejected from the first two; what was
blocked may be restored. Each step gives the row to store, one version newer, or None when the
stored state does not allow it: so a repeated or late call changes nothing (contract: GET
/photos/{id}/status).

A deletion is final, so its version needn't be the next one: it is the greatest there is. Whoever
deletes knows it without asking the row, and whatever edit is on its way has a smaller one.
"""

from collections.abc import Callable
from dataclasses import replace

from domain.entities import FanOut, Photo, PhotoStatus
from domain.moderation import BLOCKED
from domain.uploads import UNFINISHED

DELETED_VERSION = 1 << 62
"""Of every tombstone: row, event, search document. No step after it makes a newer one (I3)."""

_UNDECIDED = (PhotoStatus.AWAITING_UPLOAD, PhotoStatus.PROCESSING)


def processing(stored: Photo, completed: Photo) -> Photo | None:
    """The upload was completed, perhaps with other words than it was announced with."""
    if stored.status is not PhotoStatus.AWAITING_UPLOAD:
        return None
    return replace(
        stored,
        status=PhotoStatus.PROCESSING,
        caption=completed.caption,
        tags=completed.tags,
        alt_text=completed.alt_text,
        location=completed.location,
        version=stored.version + 1,
    )


def rejected(stored: Photo, reason: str) -> Photo | None:
    """It will never be published; what was accepted neither expires nor can it be given up."""
    steps = (PhotoStatus.AWAITING_UPLOAD,) if reason in UNFINISHED else _UNDECIDED
    if stored.status not in steps:
        return None
    return replace(stored, status=PhotoStatus.REJECTED, reason=reason, version=stored.version + 1)


def restored(stored: Photo) -> Photo | None:
    """A moderator found that it should not have been stopped: it is processed after all."""
    if stored.status is not PhotoStatus.REJECTED or stored.reason != BLOCKED:
        return None
    return replace(stored, status=PhotoStatus.PROCESSING, reason=None, version=stored.version + 1)


def published(stored: Photo, processed: Photo, now: int) -> Photo | None:
    """Its variants are stored: it becomes a post at `now` (ms), claimed by the first publish."""
    if stored.status not in _UNDECIDED:
        return None
    return replace(
        stored,
        status=PhotoStatus.PUBLISHED,
        caption=processed.caption,
        tags=processed.tags,
        alt_text=processed.alt_text,
        location=processed.location,
        sha256=processed.sha256,
        width=processed.width,
        height=processed.height,
        placeholder=processed.placeholder,
        variants=processed.variants,
        published_at=now,
        version=stored.version + 1,
    )


def revised(stored: Photo, change: Callable[[Photo], Photo]) -> Photo | None:
    """A live post's words or variants change; None when nothing does, or it is not live."""
    if stored.status is not PhotoStatus.PUBLISHED:
        return None
    changed = change(stored)
    return None if changed == stored else replace(changed, version=stored.version + 1)


def decided(stored: Photo, wanted: FanOut) -> Photo | None:
    """A live post's delivery is claimed once. Nobody is shown it, so the version stays."""
    if stored.status is not PhotoStatus.PUBLISHED or stored.fan_out is not None:
        return None
    return replace(stored, fan_out=wanted)


def deleted(stored: Photo) -> Photo | None:
    """It is gone for good: of the words nothing stays, of the variants what there is to purge."""
    if stored.status is PhotoStatus.DELETED:
        return None
    return replace(
        stored,
        status=PhotoStatus.DELETED,
        caption="",
        tags=(),
        alt_text="",
        location=None,
        placeholder="",
        version=DELETED_VERSION,
    )
