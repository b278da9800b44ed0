"""One decoder process and the zygote that forks it, as the parent sees them (blocking)."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from io import BufferedReader
from pathlib import Path
from typing import Final

import msgspec

from domain import renditions as r
from domain.errors import Transient
from domain.image_bytes import plain_jpeg_size
from domain.renditions import Rejected, Rendered, Size, Variant
from stores.decoder import wire
from stores.decoder.sandbox import Limits
from stores.decoder.watch import Watch

PROGRAM = ("-m", "stores.decoder.child")
"""What the interpreter runs as a zygote."""
_ROOT: Final = Path(__file__).resolve().parents[2]
_START_LIMIT_S: Final = 30.0
_STOP_LIMIT_S: Final = 10.0
_MAX_VARIANT_BYTES: Final = 4 << 20
_MAX_PLACEHOLDER: Final = 64
_HASH_BLOCK_BYTES: Final = 1 << 20
_PHASH: Final = re.compile("([0-9a-f]{64})?")
_KEEP_PAGES: Final = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""A worker keeps the pages of a photo for the next: having the kernel clear them anew costs
17 ms for a progressive JPEG of 12 megapixels (mallopt(3); 32 MiB is the most glibc takes)."""
_BOUNDS: Final = {
    "thumbnail": r.THUMBNAIL_SIDE,
    "feed": r.FEED_BOUND,
    "full": r.FULL_BOUND,
}


_CRASHES: Final = {
    -number
    for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
}
"""How a process ends that a file made crash; SIGKILL is the kernel's or an operator's doing."""


class Crashed(Transient):
    """The process crashed over a file, or by chance."""


class Zygote:
    """The program that forks workers; started by exec, so threads of this process don't matter."""

    def __init__(self, limits: Limits) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [
                    *(sys.executable, *PROGRAM),
                    *(str(theirs.fileno()), msgspec.json.encode(limits).decode()),
                ],
                cwd=_ROOT,
                # Nothing of ours is in reach of a decoder: no secrets, and no threads from BLAS.
                env={"OPENBLAS_NUM_THREADS": "1", **_KEEP_PAGES},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def fork(self) -> "Worker":
        """Have a new worker forked. Raises Transient."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [b"\0"], [theirs.fileno()])
            return Worker(ours)
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            ours.close()
            raise Transient(f"no decoder could be started: {error!r}") from error

    def close(self) -> None:
        """End it; it takes its workers along."""
        self._control.close()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Worker:
    """One locked-down process. After an exception other than Rejected it must be closed.

    Attributes:
        jobs: how many it was given.
        missing: protections that the kernel refused.
    """

    def __init__(self, stream: socket.socket) -> None:
        """Wait for the process at the other end to be ready.

        Raises:
            OSError, EOFError, msgspec.MsgspecError: it didn't come up.
        """
        deadline = time.monotonic() + _START_LIMIT_S
        stream.settimeout(_START_LIMIT_S)
        _, descriptors, _, _ = socket.recv_fds(stream, 1, 1)
        if not descriptors:
            raise EOFError("the process ended while starting")
        self._process = descriptors[0]
        self._pid = _pid(self._process)
        self._stream = stream
        self.jobs = 0
        try:
            self.missing = self._isolation(deadline)
        except BaseException:
            self.close()
            raise

    def _isolation(self, deadline: float) -> tuple[str, ...]:
        """Wait for the lock-down; what it misses."""
        match wire.receive(self._stream, wire.until(deadline)):
            case wire.Ready(missing):
                return missing
            case other:
                raise EOFError(f"the process ended while starting: {other}")

    def render(self, file: BufferedReader, job: wire.Job, own_s: float, limit_s: float) -> Rendered:
        """Have `file` decoded within `own_s` of the process' own time and `limit_s` on the clock.

        Raises:
            Rejected, Transient: as the port says; Crashed when the file may be the cause.
        """
        self.jobs += 1
        watch = Watch(self._pid, own_s, limit_s)
        try:
            socket.send_fds(self._stream, [msgspec.json.encode(job)], [file.fileno()])
            sha256 = _sha256(file.fileno())
            match wire.receive(self._stream, watch):
                case wire.Done() as done:
                    return self._rendered(done, sha256, watch)
                case wire.Refused(reason, detail):
                    raise Rejected(reason, detail)
                case wire.Exited(code) if code == -signal.SIGXCPU:
                    raise Rejected("decode_timeout", "processor time")
                case wire.Exited(code) if code in _CRASHES:
                    raise Crashed(f"the decoder crashed: {signal.Signals(-code).name}")
                case other:
                    raise Transient(f"the decoder died: {other}")
        except TimeoutError as over:
            raise Rejected("decode_timeout", str(over)) from None
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            raise Transient(f"the decoder died: {error!r}") from error

    def close(self) -> None:
        """Kill the process, idle or not."""
        try:
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended by itself
        finally:
            os.close(self._process)
            self._stream.close()

    def _rendered(self, done: wire.Done, sha256: str, watch: Watch) -> Rendered:
        """Take the variants in and check them: a decoder that was taken over says anything."""
        names = tuple(head.name for head in done.variants)
        sizes = [head.size_bytes for head in done.variants]
        if names != r.VARIANT_NAMES or not all(0 < size < _MAX_VARIANT_BYTES for size in sizes):
            raise Transient("the decoder answered out of bounds")
        if len(done.placeholder) > _MAX_PLACEHOLDER or not _PHASH.fullmatch(done.phash):
            raise Transient("the decoder answered out of bounds")
        if min(done.width, done.height) < 1:
            raise Transient("the decoder answered out of bounds")
        variants = tuple(
            self._variant(head.name, (head.width, head.height), head.size_bytes, watch)
            for head in done.variants
        )
        return Rendered(done.width, done.height, variants, done.placeholder, sha256, done.phash)

    def _variant(self, name: r.VariantName, size: Size, length: int, watch: Watch) -> Variant:
        """The next variant of the stream: a plain JPEG of the size it is said to have."""
        data = wire.read_exactly(self._stream, length, watch)
        if plain_jpeg_size(data) != size or max(size) > _BOUNDS[name]:
            raise Transient("the decoder answered something else than a plain JPEG")
        return Variant(name, data, *size)


def _pid(descriptor: int) -> int:
    """The process that a process descriptor stands for; -1 when it has ended."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    return next(int(line[4:]) for line in lines if line.startswith("Pid:"))


def _sha256(descriptor: int) -> str:
    """Hex digest of a whole file, by position: the child moves the shared offset meanwhile."""
    digest, at = hashlib.sha256(), 0
    while part := os.pread(descriptor, _HASH_BLOCK_BYTES, at):
        digest.update(part)
        at += len(part)
    return digest.hexdigest()
