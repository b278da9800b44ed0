"""What variants are made of, before they are coded, beside plain full decodes of the same."""

import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from stores.decoder.pillow import _open_shrunk
from tests.pictures import MODES, PHOTOS, apart, encoded, photo
from tests.ssim import ssim


def uncoded(data: bytes, declared_type: str) -> Image.Image:
    """The picture that the variants are made of."""
    return _open_shrunk(io.BytesIO(data), declared_type)[1]


def fully(data: bytes, like: Image.Image) -> Image.Image:
    """All of it decoded, turned, converted to sRGB and only then shrunk."""
    with Image.open(io.BytesIO(data)) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
        profile = opened.info.get("icc_profile")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), inPlace=True)
    return image.resize(like.size, Image.Resampling.LANCZOS)


def p3_profile() -> bytes:
    with Image.open(PHOTOS["pug_in_bed"].with_suffix(".heic")) as phone:
        return bytes(phone.info["icc_profile"])


@pytest.mark.parametrize("name", ["terrace", "pug_in_bed", "cat_at_window", "pen"])
def test_a_phone_photo_is_like_its_full_decode(name: str) -> None:
    data = PHOTOS[name].with_suffix(".heic").read_bytes()
    got = uncoded(data, "image/heic")
    assert ssim(got, fully(data, got)) >= 0.99


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_shrunk_on_load_is_like_its_full_decode(orientation: int, progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = photo("cat_at_window").resize((2200, 1469))
    data = encoded(
        image, "JPEG", quality=92, exif=exif, progressive=progressive, icc_profile=p3_profile()
    )
    got = uncoded(data, "image/jpeg")
    assert ssim(got, fully(data, got)) >= 0.99


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_like_its_full_decode(mode: str) -> None:
    kind, made, expected = MODES[mode]
    image = photo("pug_smiling")
    if mode != "bilevel":  # nothing but noise of one pixel, on which every two filters differ
        image = image.resize((3300, 1100))  # large enough to be shrunk in two steps
    lossy = {"quality": 95} if kind in {"JPEG", "WEBP", "HEIF", "AVIF"} else {}
    data = encoded(made(image), kind, **lossy)
    got = uncoded(data, "image/heic" if kind == "HEIF" else f"image/{kind.lower()}")
    if mode in {"bilevel", "palette", "palette, alpha"}:  # dithered: the reference has to be, too
        expected_picture = _flattened(made(image))
    else:
        expected_picture = expected(image).convert("RGB")
    reference = expected_picture.resize(got.size, Image.Resampling.LANCZOS)
    assert ssim(got, reference) >= 0.99


def _flattened(image: Image.Image) -> Image.Image:
    """On white, at full size."""
    image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def test_ten_bits_a_channel_are_like_eight() -> None:
    image = photo("pug_smiling")
    deep = np.asarray(image).astype(np.uint16) * 257
    heif = pillow_heif.from_bytes("RGB;16", image.size, deep.tobytes())
    out = io.BytesIO()
    heif.save(out, quality=95, bit_depth=10)
    assert (
        pillow_heif.open_heif(io.BytesIO(out.getvalue()), convert_hdr_to_8bit=False).mode != "RGB"
    )
    got = uncoded(out.getvalue(), "image/heic")
    assert ssim(got, image.resize(got.size, Image.Resampling.LANCZOS)) >= 0.99


def colour_chart() -> Image.Image:
    """64 colours, each a square."""
    colours = Image.new("RGB", (640, 640))
    for number in range(64):
        level = tuple(number >> shift & 3 for shift in (4, 2, 0))
        at = (number % 8 * 80, number // 8 * 80)
        colours.paste(tuple(64 + 42 * each for each in level), (*at, at[0] + 80, at[1] + 80))
    return colours


def apart_most(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of any channel of any pixel, in levels of 255."""
    return int(np.abs(np.asarray(one, dtype=int) - np.asarray(other, dtype=int)).max())


def test_display_p3_is_within_two_levels_before_coding() -> None:
    colours = colour_chart()
    data = encoded(colours, "PNG", icc_profile=p3_profile())
    got = uncoded(data, "image/png")
    assert apart_most(got, fully(data, got)) <= 2
    assert apart(got, colours) > 3, "the conversion must show in these colours"


_D65 = (0.3127, 0.3290)
_CHROMATICITIES = {  # (x, y) of red, green and blue by colour primaries (ITU-T H.273, table 2)
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}


def to_xyz(primaries: int) -> np.ndarray:
    """Matrix from linear light of these primaries to XYZ."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in _CHROMATICITIES[primaries]]).T
    x, y = _D65
    return columns * np.linalg.solve(columns, (x / y, 1, (1 - x - y) / y))


def from_primaries(image: Image.Image, primaries: int) -> Image.Image:
    """A picture in these primaries as sRGB, by matrices in linear light and no profile."""
    level = np.asarray(image) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    linear = (linear @ (np.linalg.inv(to_xyz(1)) @ to_xyz(primaries)).T).clip(0, 1)
    level = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return Image.fromarray((level * 255).round().astype(np.uint8))


def heic_of(image: Image.Image, **nclx: int) -> bytes:
    """Lossless, with its colour given as code points only."""
    data = encoded(
        image, "HEIF", quality=-1, chroma=444, matrix_coefficients=0, full_range_flag=1, **nclx
    )
    assert b"nclx" in data
    assert b"prof" not in data
    return data


@pytest.mark.parametrize("primaries", [12, 9])
@pytest.mark.parametrize("curve", [1, 13])
def test_colour_given_as_code_points_is_converted(primaries: int, curve: int) -> None:
    colours = colour_chart()
    data = heic_of(colours, color_primaries=primaries, transfer_characteristics=curve)
    got = uncoded(data, "image/heic")
    assert apart_most(got, from_primaries(colours, primaries)) <= 2
    assert apart(got, colours) > 3, "the conversion must show in these colours"


@pytest.mark.parametrize(("primaries", "curve"), [(1, 1), (1, 13), (2, 2), (9, 16), (9, 18)])
def test_other_code_points_change_nothing(primaries: int, curve: int) -> None:
    colours = colour_chart()
    data = heic_of(colours, color_primaries=primaries, transfer_characteristics=curve)
    assert apart_most(uncoded(data, "image/heic"), colours) <= 1
