"""Hostile uploads: the images that Pillow tests itself with, and good files that were damaged."""

import hashlib
import io
import shutil
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pillow_heif
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from ops.photos import photographs
from ops.photos.fetch import cache_folder, download

SECRET: Final = b"52.3702"
"""Is in the metadata of every good file."""

_LOCK: Final = Path(__file__).with_name("hostile.lock")
_BAD_NAMES: Final = ("bomb", "crash", "oom", "ossfuzz", "timeout")
_GOOD_ENDINGS: Final = (".jpg", ".jpeg", ".png", ".apng", ".webp", ".avif", ".mpo", ".heic", ".bin")
_STRUCTURE_BYTES: Final = 400
"""Most of what a parser decides by is in a file's first bytes."""


def corpus() -> list[Path]:
    """Pillow's test images that are of an accepted format or were hostile to some decoder.

    From the user's cache; downloaded and unpacked once.

    Raises:
        Refused: they can't be had.
    """
    digest = hashlib.sha256(_LOCK.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
    folder = cache_folder().with_name(f"hostile-{digest}")
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            archives, ready = Path(scratch, "archives"), Path(scratch, "ready")
            download(_LOCK, archives, Path(scratch))
            _unpack(next(archives.glob("pillow-*.tar.gz")), ready)
            ready.rename(folder)
    return sorted(folder.iterdir())


def _unpack(archive: Path, folder: Path) -> None:
    """The images that matter, flat: names are paths with `_` for `/`."""
    folder.mkdir()
    with tarfile.open(archive) as source:
        for member in source:
            _, found, name = member.name.partition("/Tests/images/")
            wanted = name.endswith(_GOOD_ENDINGS) or any(bad in name for bad in _BAD_NAMES)
            if found and wanted and (file := source.extractfile(member)):
                with (folder / name.replace("/", "_")).open("wb") as target:
                    shutil.copyfileobj(file, target)


@cache
def good_files() -> dict[str, bytes]:
    """A small photograph by content type, each with a place in its metadata."""
    pillow_heif.register_heif_opener()
    path = next(path for photo, path in photographs().items() if photo.name == "coffee")
    with Image.open(path) as image:
        small = image.resize((240, 160))
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("place", SECRET.decode())
    text.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    return {
        "image/jpeg": _encoded(small, "JPEG", exif=exif, comment=SECRET),
        "image/png": _encoded(small, "PNG", exif=exif, pnginfo=text),
        "image/heic": _encoded(small, "HEIF", exif=exif, xmp=SECRET),
    }


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """(declared type, bytes) of a good file after a few mutations."""
    kind = draw(st.sampled_from(sorted(good_files())))
    data = bytearray(good_files()[kind])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, min(_STRUCTURE_BYTES, len(data))) | st.integers(0, len(data)))
        _MUTATIONS[draw(st.sampled_from(sorted(_MUTATIONS)))](draw, data, at)
    return kind, bytes(data)


def _flip_bit(draw: st.DrawFn, data: bytearray, at: int) -> None:
    if at < len(data):
        data[at] ^= 1 << draw(st.integers(0, 7))


def _truncate(_: st.DrawFn, data: bytearray, at: int) -> None:
    del data[at:]


def _splice(draw: st.DrawFn, data: bytearray, at: int) -> None:
    """Put a piece of a good file, of this or another format, in or over."""
    donor = good_files()[draw(st.sampled_from(sorted(good_files())))]
    start = draw(st.integers(0, len(donor) - 1))
    piece = donor[start : start + draw(st.integers(1, 2000))]
    data[at : at + draw(st.sampled_from((0, len(piece))))] = piece


def _set_length(draw: st.DrawFn, data: bytearray, at: int) -> None:
    """Overwrite a 2- or 4-byte number, as lengths, sizes and offsets are."""
    width = draw(st.sampled_from((2, 4)))
    largest = (1 << 8 * width) - 1
    number = draw(st.sampled_from((0, 1, 7, 8, largest >> 1, largest - 1, largest)))
    data[at : at + width] = number.to_bytes(width, "big")


_MUTATIONS: Final = {
    "flip a bit": _flip_bit,
    "truncate": _truncate,
    "splice": _splice,
    "set a length": _set_length,
}
