"""What people's phones would send: crops of the sample photographs in several formats."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pillow_heif
from PIL import ExifTags, Image

from ops.photos.catalog import SamplePhoto
from ops.photos.fetch import photographs

_SMALLEST_CROP: Final = 0.8
_HEIC_BOUND, _PNG_BOUND = 1280, 1440
"""Longest side where encoding is slow or the result large."""
_STORED: Final = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera held like this stores an upright picture, by Exif orientation."""
_PLACES: Final = ((52.37, 4.89), (39.99, 116.27), (28.6, -80.6), (-36.85, 174.76), (48.2, 16.37))
"""(latitude, longitude) that some files tell; nothing of it may ever be served."""

Encoder = Callable[[Image.Image, random.Random], bytes]


@dataclass(frozen=True, slots=True)
class UploadFile:
    """A file as a person would upload it, with the words they would add."""

    filename: str
    content_type: str
    data: bytes
    alt_text: str
    caption: str
    tags: tuple[str, ...]


def make_uploads(count: int, seed: int) -> list[UploadFile]:
    """`count` different uploads; the same count and seed give the same ones.

    Raises:
        Refused: the photographs can't be had.
    """
    rng = random.Random(seed)  # noqa: S311 - repeatable on purpose
    files = list(photographs().items())
    rng.shuffle(files)
    formats = (_jpeg, _jpeg, _png, _jpeg, _heic)
    uploads = []
    for index in range(count):
        (photo, path), encode = files[index % len(files)], formats[index % len(formats)]
        original = path.with_suffix(".heic")
        if index < len(files) and index % 2 == 0 and original.exists():
            encode, data = _heic, original.read_bytes()  # as the phone wrote it, once
        else:
            data = _crop_of(path, encode, rng)
        uploads.append(_upload(index, photo, encode.__name__.strip("_"), data))
    return uploads


def _upload(index: int, photo: SamplePhoto, subtype: str, data: bytes) -> UploadFile:
    """The upload number `index`, with words that suit the photograph."""
    return UploadFile(
        filename=f"IMG_{4100 + index}.{'jpg' if subtype == 'jpeg' else subtype}",
        content_type=f"image/{subtype}",
        data=data,
        alt_text=photo.alt_text,
        caption=photo.captions[index // 2 % len(photo.captions)],
        tags=photo.tags,
    )


def _crop_of(path: Path, encode: Encoder, rng: random.Random) -> bytes:
    """A new crop of a photograph, encoded."""
    with Image.open(path) as image:
        return encode(_crop(image, rng), rng)


def _crop(image: Image.Image, rng: random.Random) -> Image.Image:
    """A random part of the picture that still shows what it is about."""
    width, height = (round(side * rng.uniform(_SMALLEST_CROP, 1)) for side in image.size)
    left, top = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def _exif(rng: random.Random, orientation: int) -> Image.Exif:
    """What a phone writes, the place included."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Example"
    exif[ExifTags.Base.Model] = "Example One"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.DateTime] = f"2025:06:{rng.randint(1, 30):02} 17:{rng.randint(0, 59):02}:00"
    latitude, longitude = rng.choice(_PLACES)
    gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
    gps[ExifTags.GPS.GPSLatitudeRef] = "N" if latitude >= 0 else "S"
    gps[ExifTags.GPS.GPSLatitude] = _degrees(latitude)
    gps[ExifTags.GPS.GPSLongitudeRef] = "E" if longitude >= 0 else "W"
    gps[ExifTags.GPS.GPSLongitude] = _degrees(longitude)
    return exif


def _degrees(angle: float) -> tuple[float, float, float]:
    """Degrees, minutes, seconds."""
    minutes = abs(angle) % 1 * 60
    return float(int(abs(angle))), float(int(minutes)), round(minutes % 1 * 60, 2)


def _jpeg(image: Image.Image, rng: random.Random) -> bytes:
    """A camera's JPEG: held any way up, metadata and all."""
    orientation = rng.choice((1, 1, 1, 3, 6, 6, 8))
    turn = _STORED[orientation]
    stored = image if turn is None else image.transpose(turn)
    out = io.BytesIO()
    stored.save(out, "JPEG", quality=rng.randint(85, 95), exif=_exif(rng, orientation))
    return out.getvalue()


def _png(image: Image.Image, _: random.Random) -> bytes:
    """A screenshot's or an editor's PNG."""
    image.thumbnail((_PNG_BOUND, _PNG_BOUND), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=4)
    return out.getvalue()


def _heic(image: Image.Image, rng: random.Random) -> bytes:
    """A phone's HEIC."""
    pillow_heif.register_heif_opener()
    image.thumbnail((_HEIC_BOUND, _HEIC_BOUND), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "HEIF", quality=80, exif=_exif(rng, 1))
    return out.getvalue()
