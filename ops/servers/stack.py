"""The whole stack: up, down, and what runs."""

import fcntl
import importlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.secrets import Secrets
from domain.settings import Settings
from ops.errors import Refused
from ops.servers import (
    cassandra,
    edge,
    jars,
    kafka,
    launch,
    leftovers,
    postgres,
    preflight,
    processes,
    redis,
    s3,
    search,
)
from ops.servers.program import Program, RunDir
from ops.servers.supervisor import Supervisor, config

Say = Callable[[str], None]

_READY_LIMIT_S = 150.0
_STARTS = 3
"""How often a program may end while `up` waits for it."""


@dataclass(frozen=True)
class Stack:
    """The programs of one set of settings, in the folder where they run."""

    settings: Settings
    run: RunDir
    servers: tuple[Program, ...]
    own: tuple[Program, ...]

    @classmethod
    def of(cls, settings: Settings) -> "Stack":
        """The stack that `settings` describe. Nothing is started or written."""
        run = RunDir(settings.run_dir)
        makers = (cassandra, search, kafka, s3, postgres, redis, edge)  # the slowest first
        servers = tuple(maker.program(settings, run) for maker in makers)
        return cls(settings, run, servers, tuple(processes.programs(settings, run)))

    @property
    def programs(self) -> tuple[Program, ...]:
        """All of them, servers first."""
        return self.servers + self.own

    def endpoints(self) -> dict[str, str]:
        """The contract's addresses."""
        s = self.settings
        web = {name: s.url(name) for name in ("api", "edge", "ops", "search", "s3")}
        return web | {
            "kafka": s.address("kafka"),
            "redis": s.redis_url,
            "postgres": s.postgres_dsn,
            "cassandra": s.address("cassandra"),
        }


def up(stack: Stack, say: Say, *, servers_only: bool = False) -> None:
    """Start what doesn't run yet, servers before our own processes. Raises Refused, having stopped
    whatever it had started itself."""
    run = stack.run
    run.make()
    with _alone(run):
        supervisor = Supervisor(run)
        fresh = not supervisor.answers()
        running = {name for name, state in supervisor.states().items() if state.alive}
        wanted = stack.servers if servers_only else stack.programs
        missing = [program for program in wanted if program.name not in running]
        if fresh and (count := leftovers.end(run)):
            say(f"ended {count} processes that a killed supervisor had left")
        if missing:
            _check(stack, missing)
            if jars.missing():
                say("fetching the jars of " + ", ".join(jars.missing()))
            jars.install()
        # Paths of jars are known for sure only now.
        stack = Stack.of(stack.settings)
        _start(
            stack,
            {program.name for program in missing},
            say,
            servers_only=servers_only,
            fresh=fresh,
        )


def _start(stack: Stack, missing: set[str], say: Say, *, servers_only: bool, fresh: bool) -> None:
    run = stack.run
    if fresh:
        shutil.rmtree(run.metrics, ignore_errors=True)
        run.make()
    Secrets.ensure(run.path)
    supervisor = Supervisor(run)
    try:
        supervisor.start(config(run, stack.programs))
        _bring_up(run, stack.servers, say)
        run.endpoints.write_text(json.dumps(stack.endpoints(), indent=2) + "\n")
        if not servers_only:
            _schemas(stack.settings, say)
            _bring_up(run, stack.own, say)
    except BaseException:  # an interrupted start, too, leaves nothing half-started behind
        if fresh:
            _stop_everything(stack)
        else:
            _stop([program for program in stack.programs if program.name in missing], run)
        raise


def _check(stack: Stack, missing: Sequence[Program]) -> None:
    preflight.java()
    preflight.maven()
    preflight.disk((stack.run.path, jars.cache()))
    preflight.ports(missing)


def _schemas(settings: Settings, say: Say) -> None:
    """Bring stores and topics to this version. Both are safe to run again.

    Imported here: servers alone need neither client libraries nor schemas.
    """
    importlib.import_module("stores.migrate").run(settings)
    importlib.import_module("ops.topics").apply_all(settings)
    importlib.import_module("ops.schemas").fill_registry(settings)
    say("store schemas and topics are current")


def _bring_up(run: RunDir, programs: Sequence[Program], say: Say) -> None:
    """Start and await `programs`, all at the same time. Raises the first failure."""
    failed = threading.Event()

    def one(program: Program) -> None:
        begun = time.monotonic()
        try:
            state = Supervisor(run).state(program.name)
            if state is None or not state.alive:
                program.prepare()
                Supervisor(run).run(program.name)
            _await_ready(run, program, failed)
            program.finish()
        except BaseException:
            failed.set()
            raise
        where = f" on port {program.port}" if program.port else ""
        say(f"{program.name}: ready{where} after {time.monotonic() - begun:.1f} s")

    with ThreadPoolExecutor(max(len(programs), 1)) as pool:
        tasks = [pool.submit(one, program) for program in programs]
    problems = [task.exception() for task in tasks]
    for problem in sorted(filter(None, problems), key=lambda p: isinstance(p, _GivenUp)):
        raise problem


class _GivenUp(Refused):
    """Another program's failure has ended the wait for this one."""


def _await_ready(run: RunDir, program: Program, failed: threading.Event) -> None:
    supervisor = Supervisor(run)
    deadline = time.monotonic() + _READY_LIMIT_S
    pids: set[int] = set()
    while not is_ready(program):
        state = supervisor.state(program.name)
        if state and state.pid:
            pids.add(state.pid)
        if state is None or state.state == "FATAL" or len(pids) > _STARTS:
            raise Refused(f"{program.name} ends as soon as it is started: {_why(run, program)}")
        if time.monotonic() > deadline:
            raise Refused(
                f"{program.name} isn't ready after {_READY_LIMIT_S:.0f} s: {_why(run, program)}"
            )
        if failed.wait(0.1):
            raise _GivenUp(program.name)


def is_ready(program: Program) -> bool:
    """Whether the program answers as it should, now."""
    try:
        return program.ready()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


def _why(run: RunDir, program: Program) -> str:
    log = run.log(program.name)
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return f"{last[:200]} (see {log})"


def down(stack: Stack, say: Say) -> None:
    """Stop everything without loss: the API first, then relay and workers, then the servers."""
    if not stack.run.path.exists():
        return
    stack.run.make()
    with _alone(stack.run):
        _stop_everything(stack)
    say("stopped")


def _stop_everything(stack: Stack) -> None:
    run = stack.run
    supervisor = Supervisor(run)
    if supervisor.answers():
        known = supervisor.states()
        doors = {"api", "console", "shield"}
        servers = {program.name for program in stack.servers}
        _stop_names([name for name in known if name in doors], run)
        _stop_names([name for name in known if name not in doors | servers], run)
        _stop_names([name for name in known if name in servers], run)
        pid = launch.read_pid(run.pid_file("supervisor"))
        supervisor.shutdown()
        _await_end(pid)
    leftovers.end(run)
    run.endpoints.unlink(missing_ok=True)


def _stop(programs: Sequence[Program], run: RunDir) -> None:
    _stop_names([program.name for program in programs], run)


def _stop_names(names: Sequence[str], run: RunDir) -> None:
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        list(pool.map(lambda name: Supervisor(run).stop(name), names))
    for name in names:
        run.pid_file(name).unlink(missing_ok=True)


def _await_end(pid: int | None, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while pid and Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def _alone(run: RunDir) -> Iterator[None]:
    """One `up` or `down` at a time."""
    with (run.path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
