"""The image work itself, by Pillow: one upload in, three JPEGs and a placeholder out.

Runs in a sandboxed child process (stores/decoder/child.py) and nowhere else in production.
The order of steps is what makes it cheap: JPEG is shrunk while it is decoded, anything else right
after, and colour conversion, orientation and encoding see only the small picture.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Final

import numpy as np
import pillow_heif
from PIL import AvifImagePlugin, Image, ImageCms

from domain import renditions as r
from domain.image_bytes import is_cut_short, same_family, sniff
from domain.phash import pdq
from domain.renditions import Focus, Rejected, Size, Variant
from domain.thumbhash import thumbhash
from stores.decoder import nclx

Image.MAX_IMAGE_PIXELS = None  # counted here, before decoding, and refused rather than warned of
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pillow_heif.options.DECODE_THREADS = 1  # no threads: less address space, fewer system calls
pillow_heif.register_heif_opener()

_FORMATS: Final = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/webp": "WEBP",
    "image/heic": "HEIF",
    "image/avif": "AVIF",
}
_QUALITY: Final = 82
_PLACEHOLDER_BOUND: Final = 64
_REDUCE_MARGIN: Final = 1.5
"""How much larger than the target an integer reduction must leave the picture."""
_EXIF_ORIENTATION: Final = 0x0112
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES: Final = frozenset({5, 6, 7, 8})
_PROFILE_SPACES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_SRGB: Final = ImageCms.createProfile("sRGB")


@dataclass(frozen=True, slots=True)
class Picture:
    """What a child hands back: a `Rendered` without the hash of the original."""

    width: int
    height: int
    variants: tuple[Variant, ...]
    placeholder: str
    phash: str


def render(file: IO[bytes], declared_type: str, focus: Focus | None) -> Picture:
    """Decode one upload and make its variants.

    Raises:
        Rejected: for whatever the bytes make go wrong, with the reason.
    """
    try:
        original, upright = _open_shrunk(file, declared_type)
        return _variants(original, upright, focus)
    except Rejected:
        raise
    except MemoryError:
        raise Rejected("decode_memory") from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes
        raise _rejection(error) from None


def _rejection(error: Exception) -> Rejected:
    """The closed-list reason that a decoder's own error stands for."""
    text = f"{type(error).__name__}: {error}"[:200]
    if "emory" in text:  # libheif and libavif: "Memory allocation error", "Out of memory"
        return Rejected("decode_memory", text)
    if isinstance(error, EOFError) or "truncated" in text or "End of file" in text:
        return Rejected("truncated", text)
    return Rejected("decode_failed", text)


def _open_shrunk(file: IO[bytes], declared_type: str) -> tuple[Size, Image.Image]:
    """(size of the upright original, sRGB picture upright at working size)."""
    kind = sniff(file)
    if kind is None:
        raise Rejected("not_an_image")
    if not same_family(declared_type, kind):
        raise Rejected("wrong_type", f"declared {declared_type}, is {kind}")
    if is_cut_short(file, kind):
        raise Rejected("truncated")
    file.seek(0)
    with Image.open(file, formats=[_FORMATS[kind]]) as image:
        size = image.size
        if size[0] * size[1] > r.MAX_PIXELS:
            raise Rejected("too_many_pixels", f"{size[0]} x {size[1]}")
        image.draft(None, (r.FULL_BOUND, r.FULL_BOUND))  # JPEG only: 1/2, 1/4 or 1/8 from the DCT
        image.load()
        orientation = _orientation(image)
        small = _shrunk(_resizable(image), r.working_size(size))
        profile = image.info.get("icc_profile") or nclx.profile_of(image.info.get("nclx_profile"))
        small = _to_srgb(_on_white(small), profile)
    if orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[orientation])
    small.info = {}
    return (size[::-1] if orientation in _SWAPS_SIDES else size), small


def _orientation(image: Image.Image) -> int:
    """Exif orientation, 1 where there is none or it can't be read."""
    try:
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - a broken Exif block is no reason to refuse the photo
        return 1


def _resizable(image: Image.Image) -> Image.Image:
    """The picture in a mode whose pixels can be averaged: L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow's own conversion would clip to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "transparency" in image.info or image.mode in {"LA", "La", "PA", "RGBa"}:
        return image.convert("RGBA")
    if image.mode in {"L", "RGB", "RGBA", "CMYK"}:
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _shrunk(image: Image.Image, target: Size) -> Image.Image:
    """Resize to `target` by a cheap integer reduction, then by a filter of half bicubic's cost.

    Beside a full decode by Lanczos that is an SSIM of 0.991 at least (bicubic: 0.995).
    """
    factor = int(max(image.size) / max(target) / _REDUCE_MARGIN)
    if factor > 1:
        image = image.reduce(factor)
    return image.resize(target, Image.Resampling.HAMMING)


def _on_white(image: Image.Image) -> Image.Image:
    """Flatten alpha on white; JPEG has none."""
    if image.mode != "RGBA":
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert by the embedded profile; one that is broken or of another space is ignored."""
    transform = _transform(profile, image.mode) if profile else None
    converted = transform(image) if transform else None
    return converted or image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> Callable[[Image.Image], Image.Image | None] | None:
    """Transform from `profile` to sRGB, None when there is nothing to convert.

    Cached because phones share a handful of profiles and building one costs more than using it.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _PROFILE_SPACES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        if (source.profile.profile_description or "").startswith("sRGB"):
            return None
        return ImageCms.buildTransform(
            source, _SRGB, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
        ).apply
    except (ImageCms.PyCMSError, OSError):
        return None


def _variants(original: Size, image: Image.Image, focus: Focus | None) -> Picture:
    """The chain: working size → full → feed → thumbnail, placeholder and perceptual hash."""
    full = _scaled(image, r.fitted(original, r.FULL_BOUND))
    feed = _scaled(full, r.fitted(original, r.FEED_BOUND))
    side = r.thumbnail_side(original)
    base = next(level for level in (feed, full, image) if min(level.size) >= side)
    thumbnail = base.resize(
        (side, side), Image.Resampling.BICUBIC, r.square_around(base.size, focus)
    )
    tiny = feed.resize(
        r.fitted(original, _PLACEHOLDER_BOUND), Image.Resampling.BICUBIC, reducing_gap=2.0
    )
    return Picture(
        *original,
        (_encoded("thumbnail", thumbnail), _encoded("feed", feed), _encoded("full", full)),
        thumbhash(np.asarray(tiny)),
        pdq(np.asarray(feed)),
    )


def _scaled(image: Image.Image, size: Size) -> Image.Image:
    """Bicubic to `size`; the same picture when it has it already."""
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


def _encoded(name: r.VariantName, image: Image.Image) -> Variant:
    """Baseline JPEG with optimal Huffman tables and halved chroma."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, optimize=True, subsampling="4:2:0")
    return Variant(name, out.getvalue(), *image.size)
