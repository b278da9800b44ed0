"""What an image file's bytes tell without decoding a pixel: its type, its end, its metadata."""

import io
from typing import IO

_HEAD_BYTES = 64
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"MiHB"}
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_FAMILY = {"image/heif": "image/heic"}

_JPEG_START = b"\xff\xd8"
_ALLOWED_SEGMENTS = frozenset({0xC0, 0xC4, 0xDA, 0xDB, 0xDD, 0xE0})
"""SOF0, DHT, SOS, DQT, DRI and JFIF's APP0: all that a plain baseline JPEG needs."""
_START_OF_FRAME, _START_OF_SCAN, _JFIF = 0xC0, 0xDA, 0xE0
_JFIF_BYTES = 16
"""Length field of an APP0 without an embedded preview."""


def sniff(file: IO[bytes]) -> str | None:
    """The content type that the first bytes show, None for anything not accepted.

    HEIF comes out as image/heic: the two names are one family here.
    """
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return _sniff_iso(head) if head[4:8] == b"ftyp" else None


def _sniff_iso(head: bytes) -> str | None:
    """Type by the brands of an ISO base media file (ISO/IEC 14496-12, 4.3)."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "image/avif"
    return "image/heic" if brands & _HEIF_BRANDS else None


def same_family(declared: str, sniffed: str) -> bool:
    """Whether the declared content type covers what the bytes are."""
    return _FAMILY.get(declared, declared) == sniffed


def is_cut_short(file: IO[bytes], content_type: str) -> bool:
    """Whether the container promises more bytes than there are.

    For the formats whose decoders don't notice: a truncated HEIC decodes without an error.
    """
    size = file.seek(0, io.SEEK_END)
    if content_type == "image/webp":
        file.seek(4)
        return size < 8 + int.from_bytes(file.read(4), "little")
    if content_type in {"image/heic", "image/avif"}:
        return _boxes_pass(file, size)
    return False


def _boxes_pass(file: IO[bytes], size: int) -> bool:
    """Walk the top-level boxes; True when one ends after `size` or its header is cut."""
    at = 0
    while at < size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 0:  # "to the end of the file"
            return False
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # noqa: PLR2004 - a box is at least its own header
            return True
        at += length
    return at > size


def plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a baseline JPEG with no segment that could carry metadata, else None.

    No Exif, XMP, ICC, IPTC, comment or preview passes, and nothing follows the end of the image
    (ITU-T T.81, annex B).
    """
    if not data.startswith(_JPEG_START) or not data.endswith(b"\xff\xd9"):
        return None
    size: tuple[int, int] | None = None
    at = 2
    while at + 4 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 0xFF or marker not in _ALLOWED_SEGMENTS:  # noqa: PLR2004 - marker prefix
            return None
        if marker == _JFIF and length != _JFIF_BYTES:
            return None
        if marker == _START_OF_FRAME:
            size = (
                int.from_bytes(data[at + 7 : at + 9], "big"),
                int.from_bytes(data[at + 5 : at + 7], "big"),
            )
        at += 2 + length
        if marker == _START_OF_SCAN:
            return size if _scan_is_last(data, at) else None
    return None


def _scan_is_last(data: bytes, at: int) -> bool:
    """Whether from `at` on there is entropy-coded data alone, then the end of the image."""
    while True:
        at = data.find(b"\xff", at) + 1
        follower = data[at] if 0 < at < len(data) else None
        if follower == 0xD9:  # noqa: PLR2004 - EOI
            return at + 1 == len(data)
        if follower is None or not (follower == 0 or 0xD0 <= follower <= 0xD7):  # noqa: PLR2004 - stuffing, RSTn
            return False
        at += 1
