"""Opaque cursors: a place in one list, spelled so that no other list takes it.

A cursor is base64url of `[version, list, *place]`; whoever reads one says which list it pages and
what a place in it looks like, and anything else is refused, not guessed at.
"""

import base64
import json
from collections.abc import Sequence
from functools import lru_cache

import msgspec

VERSION = 1
_LONGEST = 512
_LARGEST = 1 << 63
_LONGEST_PART = 128

Place = tuple[int | str, ...]


class ForeignCursor(ValueError):
    """Not a cursor of this list."""


@lru_cache(4096)
def encode(kind: str, *place: int | str) -> str:
    """The cursor of a place in the list `kind` (such as `followers:u_…`)."""
    packed = msgspec.json.encode([VERSION, kind, *place])
    return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()


def decode(kind: str, shape: Sequence[type[int] | type[str]], text: str) -> Place:
    """The place a cursor names, its parts of the types in `shape`. Raises ForeignCursor."""
    if len(text) > _LONGEST:
        raise ForeignCursor("too long")
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        parts = json.loads(packed)
    except (ValueError, RecursionError):
        raise ForeignCursor("unreadable") from None
    if not isinstance(parts, list) or parts[:2] != [VERSION, kind]:
        raise ForeignCursor("of another list")
    place = tuple(parts[2:])
    if len(place) != len(shape) or not all(map(_fits, place, shape)):
        raise ForeignCursor("not a place in this list")
    if encode(kind, *place) != text:  # one spelling only
        raise ForeignCursor("respelled")
    return place


def _fits(part: object, wanted: type[int] | type[str]) -> bool:
    """Whether a decoded part may be handed to a store."""
    if isinstance(part, bool) or not isinstance(part, wanted):
        return False
    if isinstance(part, int):
        return 0 <= part < _LARGEST
    return len(part) <= _LONGEST_PART and part.isascii() and part.isprintable()
