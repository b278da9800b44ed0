"""Start programs and wait until they are ready; on a failure stop what was started."""

import importlib
import json
import re
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from domain.secrets import Secrets
from domain.settings import Settings
from ops.errors import Refused
from ops.servers import jars, leftovers, preflight, stop
from ops.servers.program import Program, RunDir
from ops.servers.stack import Say, Stack, alone, is_ready
from ops.servers.supervisor import Supervisor, config

_READY_LIMIT_S = 150.0
_STARTS = 3
"""How often a program may end while it is waited for."""
_COMPLAINT = re.compile(r"error|exception|fatal|panic|fail|refused|cannot", re.IGNORECASE)


class _GivenUp(Refused):
    """Another program's failure has ended the wait for this one."""


def up(settings: Settings, say: Say, *, only: str | None = None) -> Stack:
    """Start what doesn't run yet, servers before our own processes; `only` one of both.

    Raises Refused, having stopped whatever this call had started.
    """
    stack = Stack.of(settings)
    with alone(stack.run):
        states = Supervisor(stack.run).states()
        fresh = not states
        wanted = {"servers": stack.servers, "own": stack.own}.get(only or "", stack.programs)
        missing = [p for p in wanted if p.name not in states or not states[p.name].alive]
        if fresh and (count := leftovers.end(stack.run)):
            say(f"ended {count} processes that a killed supervisor had left")
        _check(stack, missing)
        if absent := jars.missing():
            say(f"fetching the jars of {', '.join(absent)}")
            jars.install()
            stack = Stack.of(settings)  # the agent's jar has a name only now
        try:
            _start(stack, say, only=only, fresh=fresh)
        except BaseException:  # an interrupted start, too, leaves nothing half-started behind
            say("stopping what was started")
            if fresh:
                stop.everything(stack)
            else:
                stop.programs(stack.run, [program.name for program in missing])
            raise
    return stack


def _check(stack: Stack, missing: Sequence[Program]) -> None:
    """Refuse what can be known to fail, before anything that runs is touched."""
    preflight.java()
    preflight.maven()
    preflight.disk((stack.run.path, jars.cache()))
    preflight.ports(missing)


def _start(stack: Stack, say: Say, *, only: str | None, fresh: bool) -> None:
    run = stack.run
    if fresh:
        shutil.rmtree(run.metrics, ignore_errors=True)
        run.make()
    Secrets.ensure(run.path)
    Supervisor(run).start(config(run, stack.programs))
    if only != "own":
        _bring_up(run, stack.servers, say)
    for program in stack.servers:
        program.finish()
    run.endpoints.write_text(json.dumps(stack.endpoints(), indent=2) + "\n")
    if only != "servers":
        apply_schemas(stack.settings)
        _bring_up(run, stack.own, say)


def apply_schemas(settings: Settings) -> None:
    """Bring stores, topics and an outside schema registry to this version; safe to run again.

    Imported here: servers alone need neither client libraries nor schemas.
    """
    importlib.import_module("stores.migrate").run(settings)
    importlib.import_module("ops.topics").apply_all(settings)
    importlib.import_module("ops.schemas").fill_registry(settings)


def _bring_up(run: RunDir, programs: Sequence[Program], say: Say) -> None:
    """Start and await `programs`, all at the same time. Raises the first failure."""
    failed = threading.Event()
    with ThreadPoolExecutor(max(len(programs), 1)) as pool:
        tasks = [pool.submit(_one, run, program, say, failed) for program in programs]
        try:
            wait(tasks)
        except BaseException:
            failed.set()
            raise
    problems = [problem for task in tasks if (problem := task.exception())]
    for problem in sorted(problems, key=lambda each: isinstance(each, _GivenUp)):
        raise problem


def _one(run: RunDir, program: Program, say: Say, failed: threading.Event) -> None:
    begun = time.monotonic()
    supervisor = Supervisor(run)
    state = supervisor.state(program.name)
    runs = state is not None and state.alive
    try:
        if not runs:
            program.prepare()
            supervisor.run(program.name)
        _await_ready(run, program, failed)
    except BaseException:
        failed.set()
        raise
    if not runs:
        where = f" on port {program.port}" if program.port else ""
        say(f"{program.name}: ready{where} after {time.monotonic() - begun:.1f} s")


def _await_ready(run: RunDir, program: Program, failed: threading.Event) -> None:
    deadline = time.monotonic() + _READY_LIMIT_S
    pids: set[int] = set()
    while not is_ready(program):
        state = Supervisor(run).state(program.name)
        if state and state.pid:
            pids.add(state.pid)
        if state is None or state.state == "FATAL" or len(pids) > _STARTS:
            raise Refused(f"{program.name} ends as soon as it starts: {_why(run, program)}")
        if time.monotonic() > deadline:
            limit = f"{_READY_LIMIT_S:.0f} s"
            raise Refused(f"{program.name} isn't ready after {limit}: {_why(run, program)}")
        if failed.wait(0.1):
            raise _GivenUp(program.name)


def _why(run: RunDir, program: Program) -> str:
    """The last complaint of the program, and where the rest is."""
    log = run.log(program.name)
    text = log.read_text(errors="replace") if log.exists() else ""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    last = next(filter(_COMPLAINT.search, reversed(lines)), lines[-1] if lines else "no output")
    return f"{last[:200]} (see {log})"
