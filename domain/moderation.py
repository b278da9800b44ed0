"""Blocked content: the entries of the list, the cases of photos that matched, and decisions."""

from dataclasses import dataclass
from typing import Literal

from schemas.events import UploadCompleted

BLOCKED: Literal["blocked"] = "blocked"
"""Why the photo was rejected, as its owner sees it; what it matched is for moderators alone."""

Decision = Literal["restored", "upheld"]
CaseStatus = Literal["open", "restored", "upheld"]


class AlreadyRestored(Exception):
    """The photo was published again: what happens to it now is a deletion, not a decision."""


@dataclass(frozen=True, slots=True)
class BlockedHash:
    """An entry of the blocklist; `hash` is hexadecimal, `added_at` Unix milliseconds."""

    hash: str
    source: str
    reason: str
    added_at: int


@dataclass(frozen=True, slots=True)
class NewCase:
    """A photo that was stopped: its hash, the entry it matched, and where its bytes are kept."""

    upload: UploadCompleted
    opened_at: int
    phash: str
    matched: str
    distance: int
    kept_key: str


@dataclass(frozen=True, slots=True)
class Case:
    """A case as it stands; `source` and `reason` are those of the entry when it matched."""

    photo_id: str
    user_id: str
    opened_at: int
    phash: str
    matched: str
    distance: int
    source: str
    reason: str
    kept_key: str
    status: CaseStatus


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision about a case, kept for good."""

    decision: Decision
    decided_by: str
    decided_at: int
    why: str


def kept_key(upload: UploadCompleted) -> str:
    """Where a stopped upload is kept for review: in the uploads bucket, out of clients' reach.

    Clients only ever get URLs for keys of their own uploads.
    """
    return f"quarantine/{upload.user_id}/{upload.photo_id}"
