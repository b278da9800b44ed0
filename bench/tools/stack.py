"""The benchmarks' own stack, beside any other: `.run-bench`, ports of its own.

Every script may be run alone: it starts what it needs and stops it. `make bench` starts the stack
once before them all, and then they leave it running.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from domain.secrets import Secrets
from domain.settings import ROOT, Limits, Settings
from ops import topics
from ops.servers import processes
from ops.servers.program import Program, RunDir
from ops.servers.stack import is_ready
from ops.servers.supervisor import Supervisor
from stores import migrate
from stores.connect import Stores

PORT_OFFSET = 4200
"""So low that S3's own ports, 10,000 above, aren't among those that the kernel hands out."""
_GIVEN = {
    "PHOTOFEED_RUN_DIR": ".run-bench/stack",
    "PHOTOFEED_PORT_OFFSET": str(PORT_OFFSET),
    "PHOTOFEED_LIMITS__CALLS_PER_USER": "1000000000",
    "PHOTOFEED_LIMITS__CALLS_PER_IP": "1000000000",
    "PHOTOFEED_LIMITS__UPLOADS_PER_USER": "100000",
    "PHOTOFEED_WORKERS__WRITE_FEEDS": "2",
    "PHOTOFEED_FEED__CELEBRITY_THRESHOLD": "20000",
    "PHOTOFEED_HEAPS__REDIS_MIB": "2048",
}
_START_LIMIT_S, _STOP_LIMIT_S = 240, 120
_READY_LIMIT_S = 60.0


def settings() -> Settings:
    """The stack's settings; the limits on calls are out of the way, but are still counted."""
    generous = Limits(calls_per_user=10**9, calls_per_ip=10**9, uploads_per_user=100_000)
    chosen = Settings(run_dir=Path(_GIVEN["PHOTOFEED_RUN_DIR"]), port_offset=PORT_OFFSET)
    return chosen.model_copy(update={"limits": generous})


def stores() -> Stores:
    """All ports over the running stack; who asks closes them."""
    chosen = settings()
    return Stores(chosen, Secrets.load(chosen.run_dir))


@contextmanager
def running(*, whole: bool) -> Iterator[Settings]:
    """The servers, or the whole stack; stopped at the end unless it ran before."""
    chosen = settings()
    before = any(state.alive for state in Supervisor(RunDir(chosen.run_dir)).states().values())
    command = ["up"] if whole else ["up", "--only", "servers"]
    try:
        photofeed(*command, limit_s=_START_LIMIT_S)
        migrate.run(chosen)
        topics.apply_all(chosen)
        yield chosen
    finally:
        if not before:
            photofeed("down", limit_s=_STOP_LIMIT_S)


def photofeed(*arguments: str, limit_s: float, given: dict[str, str] | None = None) -> str:
    """One command of the CLI against the benchmarks' stack; what it printed.

    `given` are settings beside the stack's.

    Raises subprocess.CalledProcessError with its output.
    """
    command = [sys.executable, "-m", "ops", *arguments]
    done = subprocess.run(  # noqa: S603 - our own command
        command,
        check=False,
        cwd=ROOT,
        env=environment() | (given or {}),
        timeout=limit_s,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
    done.check_returncode()
    return done.stdout


def environment() -> dict[str, str]:
    """What a process of this stack gets."""
    own = processes.environment(RunDir(settings().run_dir))
    return os.environ | _GIVEN | {k: v for k, v in own.items() if k not in _GIVEN}


@contextmanager
def workers(chosen: Settings, given: Mapping[str, dict[str, str]]) -> Iterator[None]:
    """Stage workers beside the bare servers, each with settings of its own, by program name.

    What they print is in the stack's logs. Raises RuntimeError when the stack has its own, or when
    one isn't ready within a minute.
    """
    run = RunDir(chosen.run_dir)
    known = {program.name: program for program in processes.programs(chosen, run)}
    states = Supervisor(run).states()
    if any(state.alive for name, state in states.items() if name in given):
        raise RuntimeError("the stack's own workers run: photofeed down")
    started = []
    try:
        for name, own in given.items():
            with run.log(name).open("ab") as log:
                process = subprocess.Popen(  # noqa: S603 - our own
                    known[name].command, cwd=ROOT, env=environment() | own, stdout=log, stderr=log
                )
            started.append(process)
            run.pid_file(name).write_text(str(process.pid))
        _await_ready([known[name] for name in given], started)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(_STOP_LIMIT_S)
        for name in given:
            run.pid_file(name).unlink(missing_ok=True)


@contextmanager
def api(chosen: Settings) -> Iterator[int]:
    """One API process, the stack's own or started here; its pid.

    Raises RuntimeError when it isn't ready within a minute.
    """
    run = RunDir(chosen.run_dir)
    state = Supervisor(run).state("api")
    if state and state.alive and state.pid:
        yield state.pid
        return
    program = next(each for each in processes.programs(chosen, run) if each.name == "api")
    process = subprocess.Popen(program.command, cwd=ROOT, env=environment())  # noqa: S603 - our own
    try:
        _await_ready([program], [process])
        yield process.pid
    finally:
        process.terminate()
        process.wait(_STOP_LIMIT_S)


def _await_ready(programs: Sequence[Program], started: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Raises RuntimeError when one ends, or isn't ready within a minute."""
    deadline = time.monotonic() + _READY_LIMIT_S
    while not all(map(is_ready, programs)):
        if any(each.poll() is not None for each in started) or time.monotonic() > deadline:
            raise RuntimeError(f"not ready: {', '.join(each.name for each in programs)}")
        time.sleep(0.1)
