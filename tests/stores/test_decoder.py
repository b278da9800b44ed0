"""The pool of locked-down processes: what it survives and what never gets out."""

import asyncio
import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path

import msgspec
import psutil
import pytest
from PIL import Image

from domain.errors import Transient
from domain.renditions import Rejected
from ops.photos import photographs
from stores.decoder import landlock, pillow, process, wire
from stores.decoder.pool import DecoderError, DecoderPool, PoolLimits
from stores.decoder.sandbox import Limits
from stores.decoder.watch import Watch

ROOT = Path(__file__).parents[2]
PATHS = {photo.name: path for photo, path in photographs().items()}
JPEG = PATHS["temple"].read_bytes()
PHONE = PATHS["pug_in_bed"].with_suffix(".heic").read_bytes()
HUGE = PATHS["ukulele"].with_suffix(".heic").read_bytes()

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="/proc of a decoder is closed to others")


def pool_of(processes: int = 1, **limits: object) -> DecoderPool:
    return DecoderPool(PoolLimits(processes=processes, **limits))  # type: ignore[arg-type] # any of its fields


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    async with pool_of() as made:
        yield made


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    found: list[int] = []
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, listing.read_text().split())
    return found


def command(pid: int) -> bytes:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def zygotes(pid: int) -> list[int]:
    return [child for child in children(pid) if b"stores.decoder.child" in command(child)]


def workers() -> list[int]:
    """Process ids of the decoders of this process."""
    return [worker for zygote in zygotes(os.getpid()) for worker in children(zygote)]


def runs(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def eventually(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def network_of(pid: int) -> str:
    return str(Path(f"/proc/{pid}/ns/net").readlink())


def limits_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return {line[:26].strip(): line[26:] for line in lines}


def descriptors(pid: int) -> set[str]:
    return {each.name for each in Path(f"/proc/{pid}/fd").iterdir()}


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


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


# --- isolation ----------------------------------------------------------------------------------


async def test_a_decoder_is_locked_down(pool: DecoderPool) -> None:
    await pool.render(JPEG, "image/jpeg", None)
    (worker,) = workers()
    facts = status(worker)
    assert facts["NoNewPrivs"] == "1"
    assert facts["Seccomp"] == "2"
    assert set(facts["CapEff"]) == {"0"} or os.geteuid() != 0
    if os.geteuid() == 0:
        assert facts["Uid"].split() == ["65534"] * 4
    assert limits_of(worker)["Max file size"].split()[:2] == ["0", "0"]
    assert limits_of(worker)["Max address space"].split()[:2] == [str(2 << 30)] * 2


@as_root
async def test_a_decoder_has_a_network_of_its_own(pool: DecoderPool) -> None:
    await pool.render(JPEG, "image/jpeg", None)
    (worker,) = workers()
    assert network_of(worker) != network_of(os.getpid())


@as_root
async def test_a_decoder_inherits_no_descriptor_and_no_secret(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHOTOFEED_SECRET", "tell nobody")
    await pool.render(JPEG, "image/jpeg", None)
    (worker,) = workers()
    assert descriptors(worker) == {"0", "1", "2", "3"}
    assert b"tell nobody" not in environment(worker)


_FORBIDDEN = """
import ctypes, os, resource, signal, socket, sys
from stores.decoder import seccomp
from stores.decoder.sandbox import Limits, lock_down

inherited = socket.socket()  # was open before: only what it may do is left to refuse
victim = int(sys.argv[2])
if "no filter" in sys.argv:
    seccomp.refuse_other_calls = lambda: True
lock_down(Limits())
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

attempts = {
    "open": lambda: open("/etc/hostname"),
    "create": lambda: open("/tmp/sandbox-test", "x"),
    "list": lambda: os.listdir("/"),
    "unlink": lambda: os.unlink(sys.argv[3]),
    "memfd": lambda: os.memfd_create("x"),
    "socket": socket.socket,
    "connect": lambda: inherited.connect(("127.0.0.1", int(sys.argv[1]))),
    "fork": lambda: os.fork() or os._exit(0),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "kill": lambda: os.kill(victim, signal.SIGKILL),
    "parent": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "ptrace": lambda: call(101 if os.uname().machine == "x86_64" else 117, 16, victim, 0, 0),
    "x32": lambda: call(0x40000000 | 39),
    "sibling's limits": lambda: resource.prlimit(victim, resource.RLIMIT_CPU, (1, 1)),
    "root": lambda: os.setuid(0),
    "namespace": lambda: call(272 if os.uname().machine == "x86_64" else 97, 0x10000000),
}
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        print(name, "refused")
    else:
        print(name, "works")
"""


def _attempts(*options: str) -> dict[str, str]:
    """What each attempt of a locked-down process came to, by its name."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        tempfile.NamedTemporaryFile() as file,
        subprocess.Popen(["sleep", "60"]) as victim,  # noqa: S607 - whatever sleep there is
    ):
        port = str(server.getsockname()[1])
        done = subprocess.run(  # noqa: S603 - the lines above
            [sys.executable, "-c", _FORBIDDEN, port, str(victim.pid), file.name, *options],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert runs(victim.pid)
        victim.kill()
    assert done.returncode == 0, done.stderr
    return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


def test_a_locked_down_process_has_no_network_file_process_or_way_back() -> None:
    results = _attempts()
    assert len(results) == 16
    assert set(results.values()) == {"refused"}, results


@pytest.mark.skipif(landlock.version() < 6, reason="this kernel's Landlock knows no signals")
def test_without_the_call_filter_landlock_still_refuses() -> None:
    results = _attempts("no filter")
    refused = {name for name, result in results.items() if result == "refused"}
    assert refused >= {"open", "create", "list", "unlink", "connect", "exec", "kill", "parent"}


@pytest.mark.parametrize("missing", ["landlock.restrict", "seccomp.refuse_other_calls"])
async def test_without_a_protection_nothing_is_decoded(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = f"from stores.decoder import landlock, seccomp; {missing} = lambda: 0"
    monkeypatch.setattr(process, "PROGRAM", ("-c", _WEAK.format(weak)))
    async with pool_of() as pool:
        with pytest.raises(DecoderError, match="REQUIRE_ISOLATION"):
            await pool.render(JPEG, "image/jpeg", None)
    async with pool_of(require_isolation=False) as pool:
        assert (await pool.render(JPEG, "image/jpeg", None)).width == 640


_WEAK = """
import sys, msgspec
{}
from stores.decoder.child import main
from stores.decoder.watch import Watch
from stores.decoder.sandbox import Limits
main(int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=Limits))
"""


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


# --- a decoder that was taken over --------------------------------------------------------------


@pytest.mark.parametrize("length", [0xFFFFFFFF, 9000])
def test_an_endless_message_is_not_read(length: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(length.to_bytes(4, "big") + b"x" * 100)
        with pytest.raises(msgspec.DecodeError):
            wire.receive(ours, wire.until(time.monotonic() + 1))
