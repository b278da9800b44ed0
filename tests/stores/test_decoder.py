"""The pool of locked-down processes: what it survives and what never gets out."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import psutil
import pytest
from PIL import Image

from domain.errors import Transient
from domain.renditions import Rejected
from domain.settings import ROOT
from stores.decoder import pillow
from stores.decoder.pool import DecoderPool
from stores.decoder.sandbox import Limits
from stores.decoder.watch import Watch
from tests.decoders import (
    HUGE,
    JPEG,
    PATHS,
    PHONE,
    children,
    pool_of,
    runs,
    workers,
    zygotes,
)


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    async with pool_of() as made:
        yield made


async def eventually(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


# --- results ------------------------------------------------------------------------------------


async def test_the_pool_gives_what_the_image_work_gives(pool: DecoderPool) -> None:
    rendered = await pool.render(JPEG, "image/jpeg", (0.2, 0.8))
    plain = pillow.render(io.BytesIO(JPEG), "image/jpeg", (0.2, 0.8))
    assert rendered.variants == plain.variants
    assert (rendered.width, rendered.height, rendered.placeholder) == (
        plain.width,
        plain.height,
        plain.placeholder,
    )
    assert rendered.sha256 == sha256(JPEG).hexdigest()


async def test_a_file_is_as_good_as_bytes(pool: DecoderPool) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(PHONE)
        from_file = await pool.render(file, "image/heic", None)
        assert file.tell() == len(PHONE), "the caller's position is the caller's"
    assert from_file == await pool.render(PHONE, "image/heic", None)
    assert from_file.sha256 == sha256(PHONE).hexdigest()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "heic", "avif"])
async def test_every_format_works_locked_down(pool: DecoderPool, kind: str) -> None:
    out = io.BytesIO()
    with Image.open(PATHS["coffee"]) as image:
        image.save(out, "HEIF" if kind == "heic" else kind.upper())
    rendered = await pool.render(out.getvalue(), f"image/{kind}", None)
    assert (rendered.width, rendered.height) == (600, 400)


async def test_a_rejection_comes_through_with_its_reason(pool: DecoderPool) -> None:
    with pytest.raises(Rejected) as caught:
        await pool.render(PHONE[:-1000], "image/heic", None)
    assert caught.value.reason == "truncated"
    assert (await pool.render(JPEG, "image/jpeg", None)).width == 640


async def test_many_at_once_are_all_right() -> None:
    async with pool_of(2) as pool:
        results = await asyncio.gather(
            *(pool.render(JPEG if at % 2 else PHONE, _type(at), None) for at in range(6))
        )
        assert len(workers()) == 2
    assert [result.width for result in results] == [4032, 640] * 3


def _type(at: int) -> str:
    return "image/jpeg" if at % 2 else "image/heic"


# --- what goes wrong ----------------------------------------------------------------------------


async def test_a_killed_decoder_is_transient_and_the_next_call_works(pool: DecoderPool) -> None:
    await pool.render(JPEG, "image/jpeg", None)
    (worker,) = workers()
    os.kill(worker, signal.SIGSTOP)  # so that the job is certainly under way
    job = asyncio.create_task(pool.render(PHONE, "image/heic", None))
    await asyncio.sleep(0.1)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(Transient):
        await job
    assert (await pool.render(PHONE, "image/heic", None)).width == 4032
    assert worker not in workers()


async def _crash(seen: set[int]) -> int:
    """Crash a process that wasn't seen yet, once it is deep in its job."""

    def busy() -> set[int]:
        return {pid for pid in set(workers()) - seen if _processor_s(pid) > 0.3}

    await eventually(lambda: bool(busy()), limit_s=30)
    (worker,) = busy()
    os.kill(worker, signal.SIGSEGV)
    return worker


def _processor_s(pid: int) -> float:
    with contextlib.suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).cpu_times().user)
    return 0.0


async def test_a_crash_may_be_chance_and_is_tried_again(pool: DecoderPool) -> None:
    job = asyncio.create_task(pool.render(HUGE, "image/heic", None))
    crashed = await _crash(set())
    assert (await job).width == 4672
    assert crashed not in workers()


async def test_a_file_that_crashes_twice_is_refused(pool: DecoderPool) -> None:
    await pool.render(JPEG, "image/jpeg", None)
    job = asyncio.create_task(pool.render(HUGE, "image/heic", None))
    first = await _crash(set())
    await _crash({first})
    with pytest.raises(Rejected) as caught:
        await job
    assert caught.value.reason == "decode_failed"
    assert "SIGSEGV" in caught.value.detail
    assert (await pool.render(JPEG, "image/jpeg", None)).width == 640


async def test_without_its_zygote_the_pool_starts_again(pool: DecoderPool) -> None:
    await pool.render(JPEG, "image/jpeg", None)
    (zygote,) = zygotes(os.getpid())
    os.kill(zygote, signal.SIGKILL)
    await eventually(lambda: not runs(zygote))
    with pytest.raises(Transient):
        await pool.render(JPEG, "image/jpeg", None)
    assert (await pool.render(JPEG, "image/jpeg", None)).width == 640
    assert zygotes(os.getpid()) != [zygote]


async def test_a_hang_is_a_timeout_and_the_process_is_gone() -> None:
    async with pool_of(job_s=3.0) as pool:
        await pool.render(JPEG, "image/jpeg", None)
        (worker,) = workers()
        os.kill(worker, signal.SIGSTOP)
        with pytest.raises(Rejected) as caught:
            await pool.render(JPEG, "image/jpeg", None)
        assert caught.value.reason == "decode_timeout"
        await eventually(lambda: not runs(worker))
        assert (await pool.render(JPEG, "image/jpeg", None)).width == 640


async def test_what_sleeps_hangs_and_is_ended_within_ten_seconds(pool: DecoderPool) -> None:
    await pool.render(JPEG, "image/jpeg", None)
    (worker,) = workers()
    os.kill(worker, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(Rejected) as caught:
        await pool.render(JPEG, "image/jpeg", None)
    assert time.monotonic() - began < 10.5
    assert caught.value.reason == "decode_timeout"
    await eventually(lambda: not runs(worker))


def _asked(watch: Watch, for_s: float) -> None:
    """Ask again and again as the reader does; raises what it raises."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        time.sleep(watch() / 5)


def test_what_waits_for_a_processor_does_not_hang_what_stands_does() -> None:
    command = [sys.executable, "-c", "while True: pass"]
    with (
        subprocess.Popen(command) as hog,  # noqa: S603 - the line above
        subprocess.Popen(command) as starved,  # noqa: S603 - the same
    ):
        try:
            for each in (hog, starved):
                os.sched_setaffinity(each.pid, {min(os.sched_getaffinity(0))})
            os.setpriority(os.PRIO_PROCESS, starved.pid, 19)
            _asked(Watch(starved.pid, own_s=0.5, limit_s=60.0), for_s=2.0)
            with pytest.raises(TimeoutError, match="of its own"):
                _asked(Watch(hog.pid, own_s=0.5, limit_s=60.0), for_s=30.0)
            os.kill(starved.pid, signal.SIGSTOP)
            with pytest.raises(TimeoutError, match="of its own"):
                _asked(Watch(starved.pid, own_s=0.5, limit_s=60.0), for_s=30.0)
        finally:
            hog.kill()
            starved.kill()


async def test_too_much_processor_time_is_a_timeout() -> None:
    async with pool_of(child=Limits(cpu_s=0)) as pool:  # up to one second
        with pytest.raises(Rejected) as caught:
            await pool.render(HUGE, "image/heic", None)
        assert caught.value.reason == "decode_timeout"
        assert (await pool.render(JPEG, "image/jpeg", None)).width == 640


async def test_too_much_memory_is_a_rejection() -> None:
    async with pool_of(child=Limits(address_space_bytes=500 << 20)) as pool:
        with pytest.raises(Rejected) as caught:
            await pool.render(HUGE, "image/heic", None)
        assert caught.value.reason == "decode_memory"
        assert (await pool.render(JPEG, "image/jpeg", None)).width == 640


async def test_waiting_has_a_limit() -> None:
    async with pool_of(wait_s=1.5, job_s=4.0) as pool:
        while not workers():  # on a busy machine the start alone may take that long
            with contextlib.suppress(Transient):
                await pool.render(JPEG, "image/jpeg", None)
        os.kill(workers()[0], signal.SIGSTOP)
        with pytest.raises(Transient, match="busy"):
            await pool.render(JPEG, "image/jpeg", None)


async def test_a_process_is_replaced_after_its_share_of_jobs() -> None:
    async with pool_of(jobs_per_process=2) as pool:
        seen = []
        for _ in range(4):
            await pool.render(JPEG, "image/jpeg", None)
            seen += workers()
    assert len(set(seen)) >= 2


async def test_closing_leaves_no_process() -> None:
    async with pool_of(2) as pool:
        await asyncio.gather(*(pool.render(JPEG, "image/jpeg", None) for _ in range(4)))
        alive = workers() + zygotes(os.getpid())
        assert len(alive) >= 2
    assert not any(map(runs, alive))
    assert zygotes(os.getpid()) == []


_ORPHANS = """
import asyncio, sys
from pathlib import Path
from stores.decoder.pool import DecoderPool

async def main():
    pool = DecoderPool()
    await pool.render(Path(sys.argv[1]).read_bytes(), "image/jpeg", None)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_nobody_outlives_a_killed_parent() -> None:
    with subprocess.Popen(  # noqa: ASYNC220, S603 - the lines above, killed below
        [sys.executable, "-c", _ORPHANS, PATHS["temple"]], cwd=ROOT, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        assert await asyncio.to_thread(parent.stdout.readline) == b"ready\n"
        family = zygotes(parent.pid)
        family += [worker for zygote in family for worker in children(zygote)]
        assert len(family) == 2
        parent.kill()
    await eventually(lambda: not any(map(runs, family)))
