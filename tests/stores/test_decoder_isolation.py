"""A decoder is locked down: what it can't reach, what it doesn't know, what it can't be made to."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from domain.settings import ROOT
from stores.decoder import landlock, process, wire
from stores.decoder.pool import DecoderError, DecoderPool
from tests.decoders import (
    JPEG,
    pool_of,
    runs,
    workers,
)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="/proc of a decoder is closed to others")


@pytest.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    async with pool_of() as made:
        yield made


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


@pytest.mark.parametrize("length", [0xFFFFFFFF, 9000])
def test_an_endless_message_is_not_read(length: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(length.to_bytes(4, "big") + b"x" * 100)
        with pytest.raises(msgspec.DecodeError):
            wire.receive(ours, wire.until(time.monotonic() + 1))
