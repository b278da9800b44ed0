"""`photofeed status`: what runs, on which port, ready or not."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import click
import psutil
from rich.console import Console
from rich.table import Table

from domain import settings
from ops.output import json_option, print_json
from ops.servers import launch
from ops.servers.program import Program, RunDir
from ops.servers.stack import Stack, is_ready
from ops.servers.supervisor import State, Supervisor

_FINE = {"RUNNING", "STARTING"}


@dataclass(frozen=True)
class Row:
    """One process. `memory_bytes` counts its children too, shared pages in proportion."""

    role: str
    pid: int | None
    port: int | None
    state: str
    ready: bool
    memory_bytes: int

    @property
    def well(self) -> bool:
        """Whether it is as it should be: at work and ready, or stopped on purpose."""
        return self.state == "STOPPED" or (self.state in _FINE and self.ready)


@click.command("status")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show every process; exit code 1 unless all that was started is ready."""
    stack = Stack.of(settings.load())
    found = rows(stack)
    good = is_good(found)
    if as_json:
        total = sum(row.memory_bytes for row in found)
        print_json({"ok": good, "memory_bytes": total, "processes": [asdict(r) for r in found]})
    else:
        _print(found, stack.run)
    ctx.exit(0 if good else 1)


def is_good(found: list[Row]) -> bool:
    """Whether the supervisor is there and everything that was started is well."""
    return found[0].state == "RUNNING" and all(row.well for row in found)


def rows(stack: Stack) -> list[Row]:
    """The supervisor, then every program."""
    states = Supervisor(stack.run).states()
    head = _supervisor(stack, there=bool(states))
    with ThreadPoolExecutor(len(stack.programs)) as pool:
        rest = pool.map(lambda p: _row(stack, p, states.get(p.name)), stack.programs)
        return [head, *rest]


def _supervisor(stack: Stack, *, there: bool) -> Row:
    pid = launch.read_pid(stack.run.pid_file("supervisor")) if there else None
    state = "RUNNING" if there else "STOPPED"
    return Row("supervisor", pid, None, state, there, _own_memory(pid))


def _row(stack: Stack, program: Program, state: State | None) -> Row:
    pid, word = (state.pid, state.state) if state else (None, "STOPPED")
    if state is None:
        left = launch.read_pid(stack.run.pid_file(program.name))
        if left and launch.members(left, str(stack.run.path)):
            pid, word = left, "UNSUPERVISED"
    ready = pid is not None and is_ready(program)
    return Row(program.name, pid, program.port, word, ready, _memory(pid))


def _memory(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        process = psutil.Process(pid)
        return sum(_own_memory(p.pid) for p in (process, *process.children(recursive=True)))
    except psutil.Error:
        return 0


def _own_memory(pid: int | None) -> int:
    if pid is None:
        return 0
    try:
        process = psutil.Process(pid)
        try:
            return int(process.memory_full_info().pss)
        except psutil.AccessDenied:
            return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _print(found: list[Row], run: RunDir) -> None:
    table = Table("role", "pid", "port", "state", "ready", "MiB", box=None)
    for row in found:
        colour = "" if row.well else "bold red"
        cells = (row.role, row.pid or "", row.port or "", row.state, "yes" if row.ready else "no")
        table.add_row(*map(str, cells), f"{row.memory_bytes / 2**20:.0f}", style=colour)
    Console().print(table)
    for row in found:
        if not row.well:
            click.echo(f"{row.role}: {row.state}, not ready; its log: {run.log(row.role)}")
