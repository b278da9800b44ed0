"""Errors named by what the caller must do (contract, section 3; seed section 10)."""

from enum import StrEnum


class Transient(Exception):
    """It may work if tried again: bounded retries with jitter, then the retry topic."""


class StoreAway(Transient):
    """A whole server doesn't answer: wait for it, unacknowledged, and burn no tries."""


class NotFound(LookupError):
    """There is no such thing: the caller named something that doesn't exist."""


class Reason(StrEnum):
    """Why an event is a dead letter; the closed list is also the metric's label."""

    BAD_AVRO = "bad_avro"
    UNKNOWN_POST = "unknown_post"
    MISSING_OBJECT = "missing_object"
    INVALID_EVENT = "invalid_event"
    RETRIES_EXHAUSTED = "retries_exhausted"


class Unrecoverable(Exception):
    """It can never work: to the dead letters, and the partition moves on."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
