"""Pictures to render: real photographs, in every mode that comes, and how far two are apart."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
from PIL import Image

from ops.photos import photographs

pillow_heif.register_heif_opener()
PHOTOS = {photo.name: path for photo, path in photographs().items()}


def photo(name: str = "temple") -> Image.Image:
    with Image.open(PHOTOS[name]) as image:
        image.load()
        image.info = {}
        return image


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def apart(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, in levels of 255; as large as can be when sizes differ."""
    if one.size != other.size:
        return 255.0
    first, second = (np.asarray(image.convert("RGB"), dtype=float) for image in (one, other))
    return float(np.abs(first - second).mean())


def _keyed(image: Image.Image) -> Image.Image:
    """The picture with its left half transparent."""
    image = image.convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, image.width // 2, image.height))
    return image


def _on_white(image: Image.Image) -> Image.Image:
    """A plain reference for `_keyed`."""
    image = image.copy()
    image.paste((255, 255, 255), (0, 0, image.width // 2, image.height))
    return image


def _sixteen_bit(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


_Made = Callable[[Image.Image], Image.Image]
MODES: dict[str, tuple[str, _Made, _Made]] = {
    # name: (format, what is uploaded, what it should look like)
    "cmyk": ("JPEG", lambda image: image.convert("CMYK"), lambda image: image),
    "grey jpeg": ("JPEG", lambda image: image.convert("L"), lambda image: image.convert("L")),
    "16 bit": ("PNG", _sixteen_bit, lambda image: image.convert("L")),
    "bilevel": ("PNG", lambda image: image.convert("1"), lambda image: image.convert("L")),
    "palette": ("PNG", lambda image: image.quantize(256), lambda image: image),
    "palette, alpha": ("PNG", lambda image: _keyed(image).quantize(256), _on_white),
    "grey, alpha": (
        "PNG",
        lambda image: _keyed(image).convert("LA"),
        lambda image: _on_white(image.convert("L").convert("RGB")),
    ),
    "alpha": ("PNG", _keyed, _on_white),
    "alpha webp": ("WEBP", _keyed, _on_white),
    "alpha heic": ("HEIF", _keyed, _on_white),
    "avif": ("AVIF", lambda image: image, lambda image: image),
}
