"""The image work, on real photographs against plain full decodes (in this process: all trusted)."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from domain.image_bytes import plain_jpeg_size
from domain.renditions import Rejected
from stores.decoder.pillow import Picture, render
from tests.pictures import MODES, PHOTOS, apart, encoded, photo

SECRET = b"52.3702"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"


def rendered(
    data: bytes, declared_type: str = "image/jpeg", focus: tuple[float, float] | None = None
) -> Picture:
    return render(io.BytesIO(data), declared_type, focus)


def variant(picture: Picture, name: str) -> Image.Image:
    data = next(each.data for each in picture.variants if each.name == name)
    return Image.open(io.BytesIO(data))


def plainly(image: Image.Image, picture: Picture, name: str = "full") -> float:
    """How far a variant is from the same picture shrunk without any of our shortcuts."""
    got = variant(picture, name)
    return apart(got, image.resize(got.size, Image.Resampling.LANCZOS))


def tint(image: Image.Image, picture: Picture) -> float:
    """How far the colours are apart, area by area: coding noise evens out, a wrong colour not."""
    areas = (24, 24)
    got = variant(picture, "full").resize(areas, Image.Resampling.BOX)
    return apart(got, image.convert("RGB").resize(areas, Image.Resampling.BOX))


def rejection(data: bytes, declared_type: str) -> str:
    with pytest.raises(Rejected) as caught:
        rendered(data, declared_type)
    return caught.value.reason


# --- sizes --------------------------------------------------------------------------------------


def test_a_phone_photo_has_three_renditions_in_order() -> None:
    picture = rendered(PHOTOS["pug_in_bed"].with_suffix(".heic").read_bytes(), "image/heic")
    assert (picture.width, picture.height) == (4032, 3024)
    assert [(each.name, each.width, each.height) for each in picture.variants] == [
        ("thumbnail", 150, 150),
        ("feed", 640, 480),
        ("full", 1080, 810),
    ]
    for each in picture.variants:
        assert variant(picture, each.name).size == (each.width, each.height)


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((40, 30), [(30, 30), (40, 30), (40, 30)]),
        ((1, 1), [(1, 1), (1, 1), (1, 1)]),
        ((640, 427), [(150, 150), (640, 427), (640, 427)]),
        ((3000, 200), [(150, 150), (640, 43), (1080, 72)]),
        ((2, 5000), [(2, 2), (1, 640), (1, 1080)]),
    ],
)
def test_nothing_is_enlarged(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    picture = rendered(encoded(photo().resize(size), "JPEG"))
    assert (picture.width, picture.height) == size
    assert [(each.width, each.height) for each in picture.variants] == sizes


@pytest.mark.parametrize(("focus", "colour"), [((0.1, 0.5), 0), ((0.9, 0.5), 2), ((0.1, 0.1), 0)])
def test_the_thumbnail_shows_the_focus(focus: tuple[float, float], colour: int) -> None:
    image = Image.new("RGB", (900, 300), (255, 0, 0))
    image.paste((0, 0, 255), (450, 0, 900, 300))
    thumbnail = np.asarray(variant(rendered(encoded(image, "JPEG"), focus=focus), "thumbnail"))
    assert thumbnail.reshape(-1, 3).mean(axis=0).argmax() == colour


def test_the_same_upload_gives_the_same_bytes() -> None:
    data = encoded(photo("terrace"), "JPEG")
    assert rendered(data) == rendered(data)


# --- pixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_comes_out_upright(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(photo("cat_at_window").resize((1600, 1068)), kind, exif=exif)
    picture = rendered(data, f"image/{kind.lower()}")
    with Image.open(io.BytesIO(data)) as stored:
        upright = ImageOps.exif_transpose(stored)
    assert (picture.width, picture.height) == upright.size
    assert plainly(upright, picture) < 3
    assert plainly(upright, picture, "feed") < 3
    assert plainly(upright.transpose(Image.Transpose.ROTATE_180), picture) > 15


def test_the_focus_is_meant_in_the_upright_picture() -> None:
    image = Image.new("RGB", (300, 900), (255, 0, 0))  # upright: red above, blue below
    image.paste((0, 0, 255), (0, 450, 300, 900))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(image.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif)
    thumbnail = np.asarray(variant(rendered(data, focus=(0.5, 0.95)), "thumbnail"))
    assert thumbnail.reshape(-1, 3).mean(axis=0).argmax() == 2


@pytest.mark.parametrize("mode", MODES)
def test_every_pixel_mode_looks_as_it_should(mode: str) -> None:
    kind, made, expected = MODES[mode]
    image = photo("pug_smiling")
    declared = "image/heic" if kind == "HEIF" else f"image/{kind.lower()}"
    picture = rendered(encoded(made(image), kind), declared)
    assert tint(expected(image), picture) < 2.5


def test_a_transparent_colour_of_a_png_is_white() -> None:
    image = Image.new("RGB", (200, 200), (10, 20, 30))
    image.paste((200, 0, 0), (100, 0, 200, 200))
    picture = rendered(encoded(image, "PNG", transparency=(10, 20, 30)), "image/png")
    image.paste((255, 255, 255), (0, 0, 100, 200))
    assert tint(image, picture) < 2


def test_display_p3_is_converted_to_srgb() -> None:
    with Image.open(PHOTOS["pug_in_bed"].with_suffix(".heic")) as phone:
        profile = phone.info["icc_profile"]
    assert b"P\x003" in profile or b"Display P3" in profile
    image = photo("coffee")
    data = encoded(image, "JPEG", quality=95, icc_profile=profile)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    with Image.open(io.BytesIO(data)) as full:
        expected = ImageCms.profileToProfile(full, source, ImageCms.createProfile("sRGB"))
    assert expected is not None
    picture = rendered(data)
    assert tint(expected, picture) < 1
    assert tint(image, picture) > 3, "the conversion must show in this picture"


@pytest.mark.parametrize("profile", [b"", b"broken", b"\0" * 132])
def test_a_broken_colour_profile_is_ignored(profile: bytes) -> None:
    image = photo("coffee")
    assert tint(image, rendered(encoded(image, "JPEG", icc_profile=profile))) < 1


def test_a_real_phone_photo_looks_like_its_full_decode() -> None:
    for name in ("pug_in_bed", "pen", "cat_at_window"):
        picture = rendered(PHOTOS[name].with_suffix(".heic").read_bytes(), "image/heic")
        assert plainly(photo(name), picture) < 3
        assert tint(photo(name), picture) < 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "HEIF", "AVIF", "MPO"])
def test_of_many_frames_the_first_is_taken(kind: str) -> None:
    first, second = photo("coffee").resize((300, 200)), photo("rocket").resize((300, 200))
    data = encoded(first, kind, save_all=True, append_images=[second])
    declared = {"HEIF": "heic", "MPO": "jpeg"}.get(kind, kind.lower())
    assert plainly(first, rendered(data, f"image/{declared}")) < 6


def test_another_format_in_disguise_is_refused() -> None:
    gif = encoded(photo().convert("P"), "GIF", save_all=True, append_images=[photo("coffee")])
    for declared in ("image/jpeg", "image/png", "image/heic"):
        assert rejection(gif, declared) == "not_an_image"


# --- metadata -----------------------------------------------------------------------------------


def _tagged() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif.get_ifd(0x8825)[2] = (52.0, 22.0, 12.7)
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "HEIF", "AVIF"])
def test_no_metadata_leaves(kind: str) -> None:
    options: dict[str, Any] = {"exif": _tagged(), "xmp": XMP}
    if kind == "JPEG":
        options["comment"] = SECRET
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = encoded(photo(), kind, icc_profile=profile, **options)
    assert SECRET in data, "the upload must hold what is looked for"
    declared = "image/heic" if kind == "HEIF" else f"image/{kind.lower()}"
    for each in rendered(data, declared).variants:
        assert plain_jpeg_size(each.data) == (each.width, each.height)
        for trace in (SECRET, b"Exif", b"xmpmeta", b"ICC_PROFILE", b"ns.adobe", b"GPS"):
            assert trace not in each.data


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.7\n", b"GIF89a" + b"\0" * 60, b"\0" * 99])
def test_other_bytes_are_not_an_image(data: bytes) -> None:
    assert rejection(data, "image/jpeg") == "not_an_image"


def test_a_declared_type_must_be_true() -> None:
    assert rejection(encoded(photo(), "PNG"), "image/jpeg") == "wrong_type"
    assert rejection(encoded(photo(), "JPEG"), "image/heic") == "wrong_type"


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "HEIF", "WEBP", "AVIF", "progressive"])
def test_a_truncated_file_is_truncated(kind: str, share: float) -> None:
    options = {"progressive": True} if kind == "progressive" else {}
    kind = "JPEG" if kind == "progressive" else kind
    data = encoded(photo(), kind, **options)
    declared = "image/heic" if kind == "HEIF" else f"image/{kind.lower()}"
    assert rejection(data[: int(len(data) * share)], declared) == "truncated"


def test_a_truncated_phone_photo_is_truncated() -> None:
    data = PHOTOS["pug_in_bed"].with_suffix(".heic").read_bytes()
    assert rejection(data[:-1000], "image/heic") == "truncated"


def test_a_bomb_is_refused_before_decoding() -> None:
    bomb = encoded(Image.new("1", (20_000, 20_000)), "PNG")
    assert len(bomb) < 100_000
    assert rejection(bomb, "image/png") == "too_many_pixels"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff\xe0" + b"garbage" * 100,
        b"\x89PNG\r\n\x1a\n" + b"garbage" * 100,
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x10meta" + b"\0" * 8,
    ],
)
def test_garbage_behind_a_good_start_fails_to_decode(data: bytes) -> None:
    kind = {0xFF: "jpeg", 0x89: "png", 0: "heic"}[data[0]]
    assert rejection(data, f"image/{kind}") == "decode_failed"
