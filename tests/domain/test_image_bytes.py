"""What an image's bytes tell without decoding them."""

import io

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from domain.image_bytes import is_cut_short, plain_jpeg_size, same_family, sniff

pillow_heif.register_heif_opener()

KINDS = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "HEIF": "image/heic",
    "AVIF": "image/avif",
}

CAMERA = Image.Exif()
CAMERA[0x010F] = "a camera"


def picture(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((64, 48)).save(out, kind, **options)
    return out.getvalue()


def seen(data: bytes) -> str | None:
    return sniff(io.BytesIO(data))


@pytest.mark.parametrize("kind", KINDS)
def test_each_accepted_format_is_known_by_its_bytes(kind: str) -> None:
    assert seen(picture(kind)) == KINDS[kind]


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "ICO", "PPM", "PDF"])
def test_other_formats_are_not(kind: str) -> None:
    assert seen(picture(kind)) is None


@given(st.binary(max_size=80))
def test_any_bytes_can_be_sniffed(data: bytes) -> None:
    assert seen(data) in {None, *KINDS.values()}
    assert seen(b"\0\0\0\x18ftyp" + data) in {None, "image/heic", "image/avif"}


def test_heic_and_heif_are_one_family() -> None:
    assert same_family("image/heif", "image/heic")
    assert same_family("image/heic", "image/heic")
    assert not same_family("image/avif", "image/heic")
    assert not same_family("image/png", "image/jpeg")


@pytest.mark.parametrize("kind", ["HEIF", "AVIF", "WEBP"])
def test_a_container_without_its_last_byte_is_cut_short(kind: str) -> None:
    data = picture(kind)
    assert not is_cut_short(io.BytesIO(data), KINDS[kind])
    assert is_cut_short(io.BytesIO(data[:-1]), KINDS[kind])
    assert is_cut_short(io.BytesIO(data[: len(data) // 2]), KINDS[kind])


@given(st.binary(max_size=200))
def test_the_box_walk_ends_on_any_bytes(data: bytes) -> None:
    is_cut_short(io.BytesIO(data), "image/heic")
    is_cut_short(io.BytesIO(data), "image/webp")


def test_a_plain_jpeg_tells_its_size() -> None:
    assert plain_jpeg_size(picture("JPEG", optimize=True)) == (64, 48)


@pytest.mark.parametrize(
    "options",
    [
        {"exif": CAMERA},
        {"comment": b"who took it"},
        {"icc_profile": b"not even a profile"},
        {"xmp": b"<x:xmpmeta/>"},
        {"progressive": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_jpeg_with_any_metadata_is_not_plain(options: dict[str, object]) -> None:
    assert plain_jpeg_size(picture("JPEG", **options)) is None


def test_bytes_after_the_end_are_not_plain() -> None:
    data = picture("JPEG")
    assert plain_jpeg_size(data + b"secret") is None
    assert plain_jpeg_size(data + b"secret\xff\xd9") is None
    assert plain_jpeg_size(data[:-2]) is None


@given(st.binary(max_size=300))
def test_any_bytes_can_be_checked_for_plainness(data: bytes) -> None:
    plain_jpeg_size(data)
    assert plain_jpeg_size(b"\xff\xd8" + data + b"\xff\xd9") is None or b"\xff\xc0" in data
