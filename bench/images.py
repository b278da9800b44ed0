"""Processor time a photo: ours with hashes and sandbox, beside peers and the decoder's own floor.

`python bench/images.py [rounds]`. Every contender takes every input in every round, so that medians
of one run compare. The processor time of child processes is counted; every peer has one thread and
is left out, and named, where it can't be installed. Correctness stands beside each figure: the
sizes of the three variants, and SSIM of the coded 1080 against a plain full decode.
"""

import asyncio
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import pillow_heif
import psutil
from PIL import Image, ImageCms, ImageOps

from domain import renditions as r
from ops.photos import photographs
from ops.photos.fetch import cache_folder
from stores.decoder.pool import DecoderPool, PoolLimits
from tests.ssim import ssim

PEERS: Final = Path(__file__).parent / "peers"
RESULTS: Final = Path(__file__).parent / "results" / "images.json"
VIPS: Final = ("pyvips==3.2.0", "pyvips-binary==8.18.7")
SHARP: Final = "sharp@0.35.5"
INSTALL_LIMIT_S: Final = 240
PEER_LIMIT_S: Final = 120
TIMES_A_ROUND: Final = 2
OURS: Final = "photofeed"
ORIENTATION: Final = 0x0112

Times = dict[str, dict[str, list[float]]]
"""Milliseconds by input and contender."""
Made = dict[str, dict[str, bytes]]
"""The bytes of each variant by contender."""


def main(rounds: int) -> None:
    """Measure, print the table, write the results."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(Path(folder))
        commands, missing = peers()
        times: Times = {name: {} for name in inputs}
        correct: dict[str, dict[str, Any]] = {name: {} for name in inputs}
        for at in range(rounds):
            for name, path in inputs.items():
                outs = asyncio.run(one_round(path, commands, times[name], Path(folder)))
                if at == 0:
                    correct[name] = correctness(path, outs)
        speed = {str(count): asyncio.run(photos_a_second(count, inputs)) for count in (1, 2)}
    result = summary(times, correct) | {
        "photos_per_second_by_processes": speed,
        "missing_peers": missing,
        "rounds": rounds,
        "load_average": os.getloadavg()[0],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    show(result)


# --- inputs --------------------------------------------------------------------------------------


def make_inputs(folder: Path) -> dict[str, Path]:
    """A phone's 12-megapixel photo in every form, and smaller ones."""
    pillow_heif.register_heif_opener()
    heic = next(path for photo, path in photographs().items() if photo.name == "pug_in_bed")
    heic = heic.with_suffix(".heic")
    with Image.open(heic) as image:
        profile = image.info["icc_profile"]
        photo = image.convert("RGB")
    photo.info = {}
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    forms: dict[str, tuple[str, Image.Image, dict[str, Any]]] = {
        "12 MP JPEG": ("jpg", photo, {"quality": 92}),
        "12 MP JPEG P3, turned": (
            "jpg",
            photo,
            {"quality": 92, "icc_profile": profile, "exif": exif},
        ),
        "12 MP JPEG progressive": ("jpg", photo, {"quality": 92, "progressive": True}),
        "2 MP JPEG": ("jpg", photo.resize((1632, 1224)), {"quality": 92}),
        "12 MP PNG": ("png", photo, {}),
    }
    paths: dict[str, Path] = {}
    for name, (ending, form, options) in forms.items():
        paths[name] = folder / f"{len(paths)}.{ending}"
        form.save(paths[name], **options)
    paths["12 MP HEIC"] = Path(shutil.copy(heic, folder))
    return paths


def declared(path: Path) -> str:
    """The content type of an input."""
    return {".jpg": "image/jpeg", ".png": "image/png", ".heic": "image/heic"}[path.suffix]


# --- contenders ----------------------------------------------------------------------------------


def peers() -> tuple[dict[str, tuple[list[str], dict[str, str]]], dict[str, str]]:
    """(command and environment of each contender, why the others are missing).

    The last one is the floor, which encodes what ours has made.
    """
    cache = cache_folder().with_name("bench-peers")
    python = [sys.executable, str(PEERS / "python_peers.py")]
    plain = {"OPENBLAS_NUM_THREADS": "1"}
    commands = {"plain Pillow": ([*python, "plain Pillow"], plain)}
    missing: dict[str, str] = {}
    vips, sharp = cache / "python", cache / "node_modules"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(vips), *VIPS]
    npm = ["npm", "install", "--silent", "--prefix", str(cache), SHARP]
    if why := _install(vips, pip):
        missing["pyvips"] = why
    else:
        environment = {"PYTHONPATH": str(vips), "VIPS_CONCURRENCY": "1"}
        commands["pyvips"] = ([*python, "pyvips"], environment)
    if not shutil.which("node") or not shutil.which("npm"):
        missing["sharp"] = "no node here"
    elif why := _install(sharp, npm):
        missing["sharp"] = why
    else:
        commands["sharp"] = (["node", str(PEERS / "sharp_peer.cjs")], {"NODE_PATH": str(sharp)})
    return commands | {"floor": ([*python, "floor"], plain)}, missing


def _install(folder: Path, command: list[str]) -> str | None:
    """Install into the cache unless it is there; why it couldn't be."""
    if folder.is_dir():
        return None
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_LIMIT_S)  # noqa: S603 - pip and npm, pinned above
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        return f"can't be installed: {type(error).__name__}"
    return None


async def one_round(
    path: Path,
    commands: dict[str, tuple[list[str], dict[str, str]]],
    times: dict[str, list[float]],
    scratch: Path,
) -> Made:
    """Add to the times of every contender on one input; the variants each has made."""
    async with DecoderPool(PoolLimits(processes=1)) as pool:
        data = path.read_bytes()  # noqa: ASYNC240 - nothing else runs here
        rendered = await pool.render(data, declared(path), None)
        for _ in range(TIMES_A_ROUND):
            began = processor_s()
            rendered = await pool.render(data, declared(path), None)
            times.setdefault(OURS, []).append((processor_s() - began) * 1000)
    made: Made = {OURS: {each.name: each.data for each in rendered.variants}}
    for name, (command, environment) in commands.items():
        out = scratch / "out"
        out.mkdir(exist_ok=True)
        if name == "floor":
            for variant, content in made[OURS].items():
                (out / f"{variant}.jpg").write_bytes(content)
        arguments = [*command, str(path), str(out), str(TIMES_A_ROUND)]
        done = subprocess.run(  # noqa: ASYNC221, S603 - one after the other is the point
            arguments,
            env=os.environ | environment,
            capture_output=True,
            check=False,
            timeout=PEER_LIMIT_S,
        )
        if done.returncode == 0:
            times.setdefault(name, []).extend(json.loads(done.stdout))
            made[name] = {each.stem: each.read_bytes() for each in out.glob("*.jpg")}
        shutil.rmtree(out)
    return made


def processor_s() -> float:
    """Processor time of this process and of every process below it, finished threads included."""
    below = psutil.Process().children(recursive=True)
    clocks = [(~each.pid << 3) | 2 for each in below]  # CLOCK_PROCESS_CPUTIME_ID of that process
    return time.process_time() + sum(time.clock_gettime(clock) for clock in clocks)


async def photos_a_second(processes: int, inputs: dict[str, Path]) -> float:
    """How many 12-megapixel JPEGs a pool renders in a second of wall-clock time."""
    data, count = inputs["12 MP JPEG"].read_bytes(), 24
    async with DecoderPool(PoolLimits(processes=processes)) as pool:
        warm = [pool.render(data, "image/jpeg", None) for _ in range(processes)]
        await asyncio.gather(*warm)
        began = time.perf_counter()
        await asyncio.gather(*(pool.render(data, "image/jpeg", None) for _ in range(count)))
        return round(count / (time.perf_counter() - began), 2)


# --- what is compared ----------------------------------------------------------------------------


def correctness(path: Path, made: Made) -> dict[str, Any]:
    """For each contender: whether the variants have the right sizes, and how like the first is."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        profile = opened.info.get("icc_profile")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), inPlace=True)
    sizes = {
        "full": r.fitted(image.size, r.FULL_BOUND),
        "feed": r.fitted(image.size, r.FEED_BOUND),
        "thumbnail": (r.THUMBNAIL_SIDE,) * 2,
    }
    reference = image.convert("RGB").resize(sizes["full"], Image.Resampling.LANCZOS)
    found = {}
    for name, variants in made.items():
        pictures = {each: Image.open(io.BytesIO(data)) for each, data in variants.items()}
        found[name] = {
            "sizes_right": {each: picture.size for each, picture in pictures.items()} == sizes,
            "ssim": round(ssim(pictures["full"], reference), 4),
        }
    return found


BARS: Final = {
    # input: (compared with, our processor time over theirs at most)
    "12 MP JPEG": (("floor", 3.0), ("plain Pillow", 0.25)),
    "12 MP JPEG progressive": (("floor", 1.5),),
    "12 MP PNG": (("floor", 2.2),),
    "12 MP HEIC": (("floor", 1.5),),
    "12 MP JPEG P3, turned": (("pyvips", 1.0),),
}


def summary(times: Times, correct: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Medians, ratios and whether each bar is met."""
    medians = {
        name: {contender: round(statistics.median(each), 1) for contender, each in row.items()}
        for name, row in times.items()
    }
    bars = []
    for name, wanted in BARS.items():
        for other, most in wanted:
            if other in medians[name]:
                ratio = round(medians[name][OURS] / medians[name][other], 2)
                bars.append(
                    {
                        "input": name,
                        "over": other,
                        "ratio": ratio,
                        "bar": most,
                        "met": ratio <= most,
                    }
                )
    return {"processor_ms": medians, "correctness": correct, "bars": bars}


def show(result: dict[str, Any]) -> None:
    """The tables."""
    print("processor ms a photo (x = over the floor; SSIM of the 1080 against a full decode)")
    for name, row in result["processor_ms"].items():
        print(f"\n{name}")
        for contender, median in sorted(row.items(), key=lambda each: each[1]):
            held = result["correctness"][name].get(contender, {})
            sizes = "sizes right" if held.get("sizes_right") else "SIZES WRONG"
            note = "" if contender == "floor" else f"  {sizes}, SSIM {held.get('ssim')}"
            print(f"  {contender:<14}{median:>8.1f}  x{median / row['floor']:.2f}{note}")
    print()
    for bar in result["bars"]:
        verdict = "met" if bar["met"] else "MISSED"
        print(f"{bar['input']:<24} / {bar['over']:<13}{bar['ratio']:>6} <= {bar['bar']}  {verdict}")
    print(f"photos a second by processes: {result['photos_per_second_by_processes']}")
    print(f"load average {result['load_average']:.1f} on {os.cpu_count()} processors")
    for peer, why in result["missing_peers"].items():
        print(f"{peer}: {why}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
