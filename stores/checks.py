"""Values are checked before they reach a store: a malformed one can never work."""

from domain import ids
from domain.errors import Reason, Unrecoverable

_VERSION_LIMIT = 1 << 63


def checked_id(text: str, prefix: str) -> str:
    """`text`, when it is a well-formed id of this kind. Raises Unrecoverable(invalid_event)."""
    if not ids.is_id(text, prefix):
        raise Unrecoverable(Reason.INVALID_EVENT, f"not a {prefix} id: {text[:40]!r}")
    return text


def checked_version(version: int) -> int:
    """`version`, when it is positive and has 63 bits. Raises Unrecoverable(invalid_event)."""
    if not 0 < version < _VERSION_LIMIT:
        raise Unrecoverable(Reason.INVALID_EVENT, f"not a version: {version}")
    return version
