"""Exact duplicates: what is remembered of an upload's bytes, and how a reuse is verified (pure)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from domain.renditions import VARIANT_NAMES, Rendered, Variant
from schemas.events import VariantRef


@dataclass(frozen=True, slots=True)
class Stored:
    """Renditions in the media bucket, under the prefix of `user_id`."""

    user_id: str
    width: int
    height: int
    placeholder: str
    phash: str
    variants: tuple[VariantRef, ...]


def stored(user_id: str, rendered: Rendered) -> Stored:
    """What to remember of renditions that were put under the user's prefix."""
    return Stored(
        user_id,
        rendered.width,
        rendered.height,
        rendered.placeholder,
        rendered.phash,
        tuple(
            VariantRef(each.name, each.content_hash, each.width, each.height, len(each.data))
            for each in rendered.variants
        ),
    )


def reused(sha256: str, known: Stored, objects: Sequence[bytes]) -> Rendered | None:
    """The renditions again, from the objects as they were read; None when one isn't what it was.

    The key of an object is a hash of its content, so what was read proves itself: neither a lost
    nor a damaged object is spread.
    """
    named = list(zip(known.variants, objects, strict=True))
    if tuple(ref.name for ref, _ in named) != VARIANT_NAMES:
        return None
    variants = [
        Variant(name, data, ref.width, ref.height)
        for name, (ref, data) in zip(VARIANT_NAMES, named, strict=True)
    ]
    if any(
        made.content_hash != ref.hash for made, ref in zip(variants, known.variants, strict=True)
    ):
        return None
    return Rendered(
        known.width, known.height, tuple(variants), known.placeholder, sha256, known.phash
    )


def sha256_of(data: bytes) -> str:
    """Of an upload's bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()
