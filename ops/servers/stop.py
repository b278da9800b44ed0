"""Stop programs: those who take work first, those who keep it last."""

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ops.servers import launch, leftovers
from ops.servers.program import RunDir
from ops.servers.stack import Say, Stack, alone
from ops.servers.supervisor import Supervisor

_DOORS = frozenset({"api", "console", "shield"})
_LIMIT_S = 20.0


def down(stack: Stack, say: Say) -> None:
    """Stop everything without loss. Twice is once; data stays."""
    if stack.run.path.exists():
        with alone(stack.run):
            everything(stack)
    say("stopped")


def everything(stack: Stack) -> None:
    """The API first, then relay and workers, which drain, then the servers, then the supervisor."""
    run, supervisor = stack.run, Supervisor(stack.run)
    if supervisor.answers():
        known = set(supervisor.states())
        servers = {program.name for program in stack.servers}
        for phase in (known & _DOORS, known - _DOORS - servers, known & servers):
            programs(run, phase)
        pid = launch.read_pid(run.pid_file("supervisor"))
        supervisor.shutdown()
        _await_end(pid)
    leftovers.end(run)
    run.endpoints.unlink(missing_ok=True)


def programs(run: RunDir, names: Iterable[str]) -> None:
    """Stop these, at the same time; one that doesn't run is fine."""
    names = list(names)
    with ThreadPoolExecutor(max(len(names), 1)) as pool:
        list(pool.map(lambda name: Supervisor(run).stop(name), names))
    for name in names:
        run.pid_file(name).unlink(missing_ok=True)
        run.health(name).unlink(missing_ok=True)


def _await_end(pid: int | None) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while pid and Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
