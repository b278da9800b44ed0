"""Parent side of the decoder: a pool of locked-down children that render uploads (I9).

This process never decodes: it passes each upload as a file descriptor to a child and checks what
comes back. Children are forked by a zygote that is started as a program of its own, so the pool
is safe in a process that has threads.
"""

import asyncio
import contextlib
import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BufferedReader
from typing import IO, Final, Self

import structlog

from domain.errors import Transient
from domain.renditions import Focus, Rejected, Rendered
from stores.decoder.process import Crashed, Worker, Zygote
from stores.decoder.sandbox import Limits
from stores.decoder.wire import Job

_SPOILING: Final = frozenset({"decode_memory", "decode_timeout"})
"""After these a process is not used again."""
_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

log = structlog.get_logger()


class DecoderError(Exception):
    """The decoder can't be run safely here; the message is one line and says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How much a pool may use. `child` holds for each process.

    `own_s` is what a job may compute and sleep, `job_s` the wall-clock time, generous because a
    busy machine is no reason to refuse a photo. `child.cpu_s` ends what computes too long, even
    when this process is away. Without `require_isolation` a protection that the kernel refuses is
    only logged.
    """

    processes: int = 2
    own_s: float = 9.5
    job_s: float = 90.0
    wait_s: float = 150.0
    jobs_per_process: int = 200
    child: Limits = field(default_factory=Limits)
    require_isolation: bool = True


class DecoderPool:
    """The port `Decoder`, on child processes that are replaced when they die or grow old.

    Use as an async context manager, or call `close`.
    """

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self._limits = limits or PoolLimits()
        self._threads = ThreadPoolExecutor(self._limits.processes, "decoder")
        self._zygote: Zygote | None = None
        self._starting = threading.Lock()
        self._idle: deque[Worker] = deque()

    async def render(
        self, source: bytes | IO[bytes], declared_type: str, focus: Focus | None
    ) -> Rendered:
        """Implement `Decoder.render`; waits at most `wait_s` for its turn and its answer.

        Raises:
            Rejected, Transient: as the port says.
            DecoderError: the kernel refuses an isolation that the settings require.
        """
        job = Job(declared_type, focus)
        turn = asyncio.get_running_loop().run_in_executor(self._threads, self._run, source, job)
        try:
            async with asyncio.timeout(self._limits.wait_s):
                return await turn
        except TimeoutError:
            raise Transient("every decoder is busy") from None

    def warm(self) -> None:
        """Start the processes in the background already, so that no first photo waits for them."""
        self._threads.submit(self._start_all)

    async def close(self) -> None:
        """End the children; waits for the jobs under way."""
        await asyncio.to_thread(self._shut_down)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _shut_down(self) -> None:
        """Finish what runs, cancel what waits, end every process."""
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()
        if self._zygote:
            self._zygote.close()

    def _start_all(self) -> None:
        """A failure is the first photo's to report."""
        with contextlib.suppress(Exception):
            for worker in [self._worker() for _ in range(self._limits.processes)]:
                self._put_back(worker, reusable=True)

    def _run(self, source: bytes | IO[bytes], job: Job) -> Rendered:
        """One job, in a thread of the pool; a file that crashes two processes is refused."""
        with _readable_copy(source) as file:
            try:
                return self._attempt(file, job)
            except Crashed:
                log.warning("decoder.crashed", declared_type=job.declared_type)
            try:
                return self._attempt(file, job)
            except Crashed as crashed:
                raise Rejected("decode_failed", str(crashed)) from None

    def _attempt(self, file: BufferedReader, job: Job) -> Rendered:
        """One job in one process."""
        worker = self._worker()
        try:
            rendered = worker.render(file, job, self._limits.own_s, self._limits.job_s)
        except Rejected as rejected:
            self._put_back(worker, reusable=rejected.reason not in _SPOILING)
            raise
        except BaseException:
            worker.close()
            raise
        self._put_back(worker, reusable=True)
        return rendered

    def _put_back(self, worker: Worker, *, reusable: bool) -> None:
        """Keep the worker for the next job, or end it."""
        if reusable and worker.jobs < self._limits.jobs_per_process:
            self._idle.append(worker)
        else:
            worker.close()

    def _worker(self) -> Worker:
        """An idle worker, or a new one; the zygote is started when it isn't there (any more)."""
        with contextlib.suppress(IndexError):
            return self._idle.pop()
        with self._starting:
            if self._zygote and not self._zygote.alive():
                self._zygote.close()
                self._zygote = None
            fresh = self._zygote is None
            self._zygote = self._zygote or Zygote(self._limits.child)
            worker = self._zygote.fork()
        if self._limits.require_isolation and worker.missing:
            worker.close()
            raise DecoderError(
                f"decoders can't be locked in here: no {', no '.join(worker.missing)}; "
                "PHOTOFEED_DECODER__REQUIRE_ISOLATION=false decodes all the same"
            )
        if worker.missing and fresh:
            log.warning("decoder.isolation_missing", protections=worker.missing)
        return worker


@contextlib.contextmanager
def _readable_copy(source: bytes | IO[bytes]) -> Iterator[BufferedReader]:
    """The source as a file of its own that a child can read and not change.

    A file is opened again: the child gets neither the right to write nor the caller's position.
    """
    if not isinstance(source, bytes):
        source.flush()
        with open(f"/proc/self/fd/{source.fileno()}", "rb") as file:  # noqa: PTH123 - no path, a handle
            yield file
        return
    with os.fdopen(os.memfd_create("upload", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "w+b") as file:
        file.write(source)
        file.flush()
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
        with _readable_copy(file) as copy:
            yield copy
