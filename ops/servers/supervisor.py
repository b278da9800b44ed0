"""The supervisor (supervisord): its configuration, and calls to the one that runs."""

import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from domain.settings import ROOT
from ops.errors import Refused
from ops.servers.program import Program, RunDir
from streams.runtime.flood import EXIT_CODE

_LAUNCH = Path(__file__).parent / "launch.py"
_START_LIMIT_S = 15.0
_RETRIES = 10
"""Failed starts in a row before the supervisor gives up: waits of 1 + 2 + … + 10 s between them, so
a program may find what it needs missing for about a minute."""
_STEADY_S = 10
"""A program that ends sooner than this has failed to start."""


@dataclass(frozen=True)
class State:
    """What the supervisor says of a program: RUNNING, STARTING, BACKOFF, FATAL, STOPPED."""

    name: str
    state: str
    pid: int | None

    @property
    def alive(self) -> bool:
        """Whether a process is there or being started again."""
        return self.state in {"RUNNING", "STARTING", "BACKOFF", "STOPPING"}


def config(run: RunDir, programs: Iterable[Program]) -> str:
    """The text of supervisord.conf."""
    head = f"""[unix_http_server]
file={_plain(run.socket)}
chmod=0600
[supervisord]
pidfile={_plain(run.pid_file("supervisor"))}
logfile={_plain(run.log("supervisor"))}
logfile_maxbytes=10MB
logfile_backups=2
childlogdir={_plain(run.path / "logs")}
directory={_plain(run.path)}
{"user=root" if os.geteuid() == 0 else ""}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    return head + "".join(_section(run, program) for program in programs)


def _section(run: RunDir, program: Program) -> str:
    launch = (
        sys.executable, "-I", str(_LAUNCH), str(run.pid_file(program.name)), str(run.path),
        *(f"{name}={value}" for name, value in sorted(program.environment.items())), "--",
        *program.command,
    )  # fmt: skip
    return f"""[program:{program.name}]
command={_plain(shlex.join(launch))}
directory={_plain(program.cwd)}
autostart=false
autorestart=unexpected
exitcodes={EXIT_CODE}
startsecs={_STEADY_S}
startretries={_RETRIES}
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_s}
killasgroup=true
redirect_stderr=true
stdout_logfile={_plain(run.log(program.name))}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=2
"""


def _plain(value: object) -> str:
    """Escape a value for supervisord.conf, in which `%` expands and `;` after a blank comments."""
    text = str(value)
    if "\n" in text or " ;" in text:
        raise Refused(f"a path or setting can't be used: {text!r}")
    return text.replace("%", "%%")


class Supervisor:
    """The running supervisor of one stack. Calls raise OSError when there is none."""

    def __init__(self, run: RunDir) -> None:
        self._run = run

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - XML-RPC has no types
        """One call on a connection of its own: one that has failed can't be used again."""
        transport = SupervisorTransport(None, None, f"unix://{self._run.socket}")
        with xmlrpc.client.ServerProxy("http://supervisor", transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            return bool(self._call("getState")["statecode"] == 1)
        except (OSError, xmlrpc.client.Error):
            return False

    def start(self, text: str) -> None:
        """Start it with the configuration, or give the running one what changed. Raises Refused."""
        file = self._run.path / "supervisord.conf"
        file.touch(0o600)
        file.write_text(text)
        if self.answers():
            self._reload()
            return
        # Settings reach programs by their own configuration: one that is taken back must be gone.
        clean = {name: value for name, value in os.environ.items() if "PHOTOFEED_" not in name}
        done = subprocess.run(  # noqa: S603 - a fixed command
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)],
            cwd=ROOT, env=clean, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        deadline = time.monotonic() + _START_LIMIT_S
        while done.returncode == 0 and time.monotonic() < deadline:
            if self.answers():
                return
            time.sleep(0.05)
        raise Refused(f"the supervisor does not start: {done.stderr.strip()[-300:]}")

    def _reload(self) -> None:
        added, changed, removed = self._call("reloadConfig")[0]
        gone = (*changed, *removed)
        with ThreadPoolExecutor(max(len(gone), 1)) as pool:  # they drain at the same time
            list(pool.map(lambda name: self._call("stopProcessGroup", name), gone))
        for name in gone:
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def states(self) -> dict[str, State]:
        """Every program by name; empty when no supervisor runs."""
        try:
            found = self._call("getAllProcessInfo")
        except (OSError, xmlrpc.client.Error):
            return {}
        return {
            info["name"]: State(info["name"], info["statename"], info["pid"] or None)
            for info in found
        }

    def state(self, name: str) -> State | None:
        """One program; None if the supervisor doesn't know it or isn't there."""
        return self.states().get(name)

    def run(self, name: str) -> None:
        """Start a program without waiting for it. One that is running stays as it is."""
        try:
            self._call("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise Refused(f"{name} can't be started: {fault.faultString}") from None

    def stop(self, name: str) -> None:
        """Ask a program to end and wait until it has: it is killed after its `stop_s`."""
        try:
            self._call("stopProcess", name)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise Refused(f"{name} can't be stopped: {fault.faultString}") from None

    def shutdown(self) -> None:
        """End the supervisor, and whatever it still runs."""
        self._call("shutdown")
