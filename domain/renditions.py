"""The three renditions of a photo: sizes, crops, names, and the port that makes them (pure).

Contract, section 2 "Variants": `thumbnail` is a 150 x 150 crop around the focus, `feed` and `full`
fit in 640 and 1080 on the long side, the aspect is kept and nothing is ever enlarged. Sizes are
pixels of the upright picture, as (width, height); crop boxes are (left, top, right, bottom).
"""

import hashlib
from dataclasses import dataclass
from typing import IO, Literal, Protocol, get_args

THUMBNAIL_SIDE = 150
FEED_BOUND = 640
FULL_BOUND = 1080
MAX_PIXELS = 64_000_000
"""Pictures with more are refused before anything is decoded."""

ENCODER = "1"
"""Another one after any change of what the renditions of a photo are."""

VariantName = Literal["thumbnail", "feed", "full"]
VARIANT_NAMES: tuple[VariantName, ...] = get_args(VariantName)

CONTENT_TYPES = frozenset(
    {"image/jpeg", "image/png", "image/heic", "image/heif", "image/webp", "image/avif"}
)
"""What may be uploaded (contract, section 2)."""

RejectionReason = Literal[
    "checksum_mismatch",
    "not_an_image",
    "wrong_type",
    "too_many_pixels",
    "truncated",
    "decode_failed",
    "decode_timeout",
    "decode_memory",
    "blocked",
]
"""Why a photo will never be published: a closed list, also the metric's label."""

Size = tuple[int, int]
Box = tuple[int, int, int, int]
Focus = tuple[float, float]
"""(x, y) of what matters in the upright picture, each 0..1 from the left and the top."""

CENTRE: Focus = (0.5, 0.5)


class Rejected(Exception):
    """These bytes can never become a photo; told to the uploader, not a dead letter."""

    def __init__(self, reason: RejectionReason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Variant:
    """One rendition: a baseline JPEG in sRGB without any metadata."""

    name: VariantName
    data: bytes
    width: int
    height: int
    content_type: str = "image/jpeg"

    @property
    def content_hash(self) -> str:
        """First 128 bits of the SHA-256 of the bytes, hex: what keys and URLs carry."""
        return hashlib.sha256(self.data).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Rendered:
    """What decoding gave: `width` and `height` are the upright original's.

    Attributes:
        sha256: of the upload's bytes, hexadecimal.
        phash: perceptual hash of the `feed` rendition before coding (domain/phash.py), hexadecimal;
            "" for a picture with too little detail.
    """

    width: int
    height: int
    variants: tuple[Variant, ...]
    placeholder: str
    sha256: str
    phash: str


class Decoder(Protocol):
    """Turns an upload into its renditions without decoding a pixel in this process (I9)."""

    async def render(
        self, source: bytes | IO[bytes], declared_type: str, focus: Focus | None
    ) -> Rendered:
        """Decode and render; the same input gives the same bytes.

        Args:
            source: the upload's bytes, or an open file that has a file descriptor.
            declared_type: the content type the client declared.
            focus: what the thumbnail's crop must hold, None for the centre.

        Raises:
            Rejected: it will never be a photo.
            Transient: the decoder died or was too busy; it may work if tried again.
        """


def fitted(size: Size, bound: int) -> Size:
    """The largest size of the same aspect within `bound` on the long side; never enlarged."""
    long = max(size)
    if long <= bound:
        return size
    width, height = (max(1, round(side * bound / long)) for side in size)
    return width, height


def working_size(size: Size) -> Size:
    """What the original is shrunk to, once: enough for `full` and for the thumbnail's crop.

    That is `full` itself, unless the picture is so narrow that the crop would need enlarging.
    """
    short, long = sorted(size)
    scale = min(1.0, max(FULL_BOUND / long, THUMBNAIL_SIDE / short))
    if scale * long <= FULL_BOUND:
        return fitted(size, FULL_BOUND)
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def thumbnail_side(size: Size) -> int:
    """Side of the square thumbnail: 150, or less where the picture itself is smaller."""
    return min(THUMBNAIL_SIDE, *size)


def square_around(size: Size, focus: Focus | None) -> Box:
    """The largest square inside `size` whose centre is as near to `focus` as the edges allow."""
    side = min(size)
    x, y = focus or CENTRE
    left, top = (
        round(min(max(at * extent - side / 2, 0.0), float(extent - side)))
        for at, extent in ((x, size[0]), (y, size[1]))
    )
    return left, top, left + side, top + side


def object_key(user_id: str, content_hash: str) -> str:
    """Key in the media bucket: by content, under the owner's prefix (erasure is one listing)."""
    return f"{user_id}/{content_hash}.jpg"
