"""Hostile files cost their own rejection and nothing else (I9).

Every file ends rendered or refused with a reason of the closed list, in time and within the memory
limit; the pool stays whole; what comes out carries no metadata.
"""

import asyncio
import io
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from domain.image_bytes import sniff
from domain.renditions import Rejected, RejectionReason, Rendered
from stores.decoder.pool import DecoderPool, PoolLimits
from stores.decoder.sandbox import Limits
from tests.hostile import SECRET, corpus, damaged, good_files

LIMIT_S = 10.0
MUTANTS = 300
RESIDENT_LIMIT_BYTES = 700 << 20
"""Of one decoder, above any of these files and a 33-megapixel HEIC; its address space has 2 GiB."""
JFIF_KEYS = {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[DecoderPool]:
    async with DecoderPool(PoolLimits(processes=2)) as made:
        yield made


async def outcome(pool: DecoderPool, data: bytes, declared: str) -> Rendered | str:
    """What became of it: renditions or a reason; anything else is raised."""
    began = time.monotonic()
    result: Rendered | str
    try:
        result = await pool.render(data, declared, None)
    except Rejected as rejected:
        result = rejected.reason
    assert time.monotonic() - began < LIMIT_S + 1
    assert isinstance(result, Rendered) or result in get_args(RejectionReason)
    return result


def segments(jpeg: bytes) -> list[tuple[int, bytes]]:
    """(marker, payload) of every segment up to the end of the image; nothing may follow it."""
    assert jpeg[:2] == b"\xff\xd8"
    found, at = [], 2
    while jpeg[at : at + 2] != b"\xff\xd9":
        assert jpeg[at] == 0xFF
        marker, length = jpeg[at + 1], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        found.append((marker, jpeg[at + 4 : at + 2 + length]))
        at += 2 + length
        if marker == 0xDA:  # entropy-coded data: to the next marker that is no stuffing or restart
            while jpeg[at] != 0xFF or jpeg[at + 1] == 0 or 0xD0 <= jpeg[at + 1] <= 0xD7:
                at += 1
    assert at + 2 == len(jpeg)
    return found


def assert_no_metadata(rendered: Rendered) -> None:
    """By a reader of our own and by Pillow's."""
    for each in rendered.variants:
        for marker, payload in segments(each.data):
            assert marker in {0xC0, 0xC4, 0xDA, 0xDB, 0xE0}
            assert marker != 0xE0 or (payload[:5] == b"JFIF\0" and payload[-2:] == b"\0\0")
        assert SECRET not in each.data
        with Image.open(io.BytesIO(each.data)) as image:
            assert not image.getexif()
            assert set(image.info) <= JFIF_KEYS
            image.load()
            assert (image.mode, image.size) == ("RGB", (each.width, each.height))


def decoders() -> list[psutil.Process]:
    """The processes that decode: children of the zygotes that are children of this process."""
    own = psutil.Process().children()
    return [
        each
        for zygote in own
        if "stores.decoder.child" in zygote.cmdline()
        for each in zygote.children()
    ]


def peaks() -> tuple[int, int]:
    """(resident, address space) bytes that any decoder had at most."""
    found = [(0, 0)]
    for each in decoders():
        status = Path(f"/proc/{each.pid}/status").read_text()
        sizes = {
            line.split(":")[0]: line.split()[1] for line in status.splitlines() if "kB" in line
        }
        found.append((int(sizes["VmHWM"]) << 10, int(sizes["VmPeak"]) << 10))
    resident, space = zip(*found, strict=True)
    return max(resident), max(space)


async def assert_alive(pool: DecoderPool) -> None:
    """The pool takes good files, and no decoder was ever too large."""
    for kind, data in good_files().items():
        rendered = await pool.render(data, kind, None)
        assert {rendered.width, rendered.height} == {160, 240}
        assert_no_metadata(rendered)
    resident, space = peaks()
    assert 0 < resident < RESIDENT_LIMIT_BYTES
    assert space <= Limits().address_space_bytes


async def test_the_images_that_pillow_tests_itself_with(pool: DecoderPool) -> None:
    ended: Counter[str] = Counter()
    room = asyncio.Semaphore(2)

    async def one(path: Path) -> None:
        async with room:
            data = await asyncio.to_thread(path.read_bytes)
            result = await outcome(pool, data, sniff(io.BytesIO(data)) or "image/jpeg")
        if isinstance(result, Rendered):
            assert_no_metadata(result)
        ended[result if isinstance(result, str) else "rendered"] += 1

    async with asyncio.TaskGroup() as group:
        for path in corpus():
            group.create_task(one(path))
    assert ended["rendered"] > 100
    assert ended["not_an_image"] > 10
    assert ended["truncated"] > 1
    await assert_alive(pool)


@settings(max_examples=MUTANTS, deadline=None, suppress_health_check=list(HealthCheck))
@given(file=damaged())
async def test_a_damaged_file_harms_nothing_and_leaks_nothing(
    pool: DecoderPool, file: tuple[str, bytes]
) -> None:
    kind, data = file
    result = await outcome(pool, data, kind)
    if isinstance(result, Rendered):
        assert_no_metadata(result)


async def test_the_pool_is_whole_after_all_that(pool: DecoderPool) -> None:
    await assert_alive(pool)
