"""What the supervisor runs: a program, and the folder that holds everything it leaves behind."""

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_LONGEST_SOCKET = 90
"""A Unix socket's path ends at 108 bytes; the supervisor appends its pid while it binds."""


def nothing() -> None:
    """Stand in for a step that a program doesn't need."""


@dataclass(frozen=True)
class Program:
    """One supervised process.

    `ports` maps each listener's purpose to its number, the first being the one people ask for.
    `prepare` writes its configuration before every start by `up` and is harmless to repeat;
    `ready` answers at once, raising OSError or returning False when not; `finish` is what it needs
    once ready (buckets), harmless to repeat too. Times are seconds.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    ready: Callable[[], bool]
    ports: Mapping[str, int] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] = nothing
    finish: Callable[[], None] = nothing
    stop_signal: str = "TERM"
    stop_s: int = 30

    @property
    def port(self) -> int | None:
        """The port people ask for, or None for a program that listens on nothing."""
        return next(iter(self.ports.values()), None)


@dataclass(frozen=True)
class RunDir:
    """The folder of one running stack: data, configuration, logs, pid files."""

    path: Path

    def of(self, server: str) -> Path:
        """The folder of one server: configuration and data."""
        return self.path / server

    def pid_file(self, name: str) -> Path:
        """Where the pid of program `name` is."""
        return self.path / "pids" / f"{name}.pid"

    def log(self, name: str) -> Path:
        """Where the output of program `name` goes."""
        return self.path / "logs" / f"{name}.log"

    def health(self, name: str) -> Path:
        """Where program `name`, which has no port, says that it is well."""
        return self.path / "health" / f"{name}.json"

    @property
    def metrics(self) -> Path:
        """Where prometheus_client keeps the metrics of several processes."""
        return self.path / "metrics"

    @property
    def endpoints(self) -> Path:
        """The addresses of the stack, as the contract says."""
        return self.path / "endpoints.json"

    @property
    def socket(self) -> Path:
        """The supervisor's socket: here, or in a short private folder if the path is too long."""
        here = self.path / "supervisor.sock"
        if len(os.fsencode(here)) <= _LONGEST_SOCKET:
            return here
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"photofeed-{os.getuid()}-{digest}" / "supervisor.sock"

    def make(self) -> None:
        """Make the folders, readable by their owner alone. Twice is once."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for part in ("pids", "logs", "health", "metrics"):
            (self.path / part).mkdir(exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        if self.socket.parent.stat().st_uid != os.getuid():
            raise PermissionError(f"{self.socket.parent} belongs to somebody else")
