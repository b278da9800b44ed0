"""One contender in a process of its own: `python_peers.py CONTENDER FILE OUT COUNT`.

Makes the three variants of FILE once unmeasured and COUNT times measured, writes them to OUT and
prints the processor milliseconds of each time as JSON.
"""

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pillow_heif
from PIL import Image, ImageCms, ImageOps

BOUNDS = {"full": 1080, "feed": 640}
SIDE = 150
QUALITY = 82
Variants = dict[str, bytes]

Image.MAX_IMAGE_PIXELS = None
pillow_heif.options.DECODE_THREADS = 1
pillow_heif.register_heif_opener()


def plain_pillow(path: Path, _: Path) -> Variants:
    """What one writes first: decode all of it, turn, convert, then make each variant of that."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        profile = opened.info.get("icc_profile")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), inPlace=True)
    variants = {}
    for name, bound in BOUNDS.items():
        scaled = ImageOps.contain(image, (bound, bound), Image.Resampling.LANCZOS)
        variants[name] = _encoded(scaled)
    return variants | {"thumbnail": _encoded(ImageOps.fit(image, (SIDE, SIDE)))}


def floor(path: Path, out: Path) -> Variants:
    """The least there is: the decoder alone, as small as it can decode, and the encoder alone.

    Encodes what another contender has left in `out`.
    """
    with Image.open(path) as image:
        image.draft(None, (BOUNDS["full"], BOUNDS["full"]))
        image.load()
    return {name: _encoded(image) for name, image in _ready(out).items()}


_ready_pictures: dict[str, Image.Image] = {}


def _ready(out: Path) -> dict[str, Image.Image]:
    """The variants in `out`, decoded once."""
    if not _ready_pictures:
        for each in out.glob("*.jpg"):
            with Image.open(each) as image:
                image.load()
                _ready_pictures[each.stem] = image
    return _ready_pictures


def pyvips_thumbnail(path: Path, _: Path) -> Variants:
    """Libvips by its own recipe: `thumbnail` shrinks on load, turns and converts."""
    import pyvips  # type: ignore[import-not-found] # noqa: PLC0415 - the peers' folder has it

    tagged = "icc-profile-data" in pyvips.Image.new_from_file(str(path)).get_fields()
    convert = {"export_profile": "srgb"} if tagged else {}  # else it would convert sRGB to sRGB
    full = pyvips.Image.thumbnail(
        str(path), BOUNDS["full"], height=BOUNDS["full"], size="down", **convert
    )
    full = (full.flatten(background=255) if full.hasalpha() else full).copy_memory()
    feed = full.thumbnail_image(BOUNDS["feed"], height=BOUNDS["feed"], size="down").copy_memory()
    small = feed.thumbnail_image(SIDE, height=SIDE, crop="centre")
    return {
        name: image.jpegsave_buffer(Q=QUALITY, keep="none", optimize_coding=True)
        for name, image in (("full", full), ("feed", feed), ("thumbnail", small))
    }


def _encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    options = {"quality": QUALITY, "optimize": True, "subsampling": "4:2:0"}
    image.convert("RGB").save(out, "JPEG", icc_profile=None, **options)
    return out.getvalue()


CONTENDERS: dict[str, Callable[[Path, Path], Variants]] = {
    "plain Pillow": plain_pillow,
    "floor": floor,
    "pyvips": pyvips_thumbnail,
}


def main(contender: str, path: Path, out: Path, count: int) -> None:
    """Measure, then write."""
    render = CONTENDERS[contender]
    variants = render(path, out)
    times = []
    for _ in range(count):
        began = time.process_time()
        variants = render(path, out)
        times.append((time.process_time() - began) * 1000)
    if contender != "floor":
        for name, data in variants.items():
            (out / f"{name}.jpg").write_bytes(data)
    print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
