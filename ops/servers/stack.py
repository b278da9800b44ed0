"""The stack: which programs the settings ask for, and where they can be reached."""

import fcntl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from domain.settings import Settings
from ops.servers import cassandra, edge, kafka, postgres, processes, redis, s3, search
from ops.servers.program import Program, RunDir

Say = Callable[[str], None]
"""Where progress goes, a line at a time."""

_MAKERS = (cassandra, search, kafka, s3, postgres, redis, edge)
"""The slowest to start comes first."""


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
        servers = tuple(maker.program(settings, run) for maker in _MAKERS)
        return cls(settings, run, servers, tuple(processes.programs(settings, run)))

    @property
    def programs(self) -> tuple[Program, ...]:
        """All of them, servers first."""
        return self.servers + self.own

    def endpoints(self) -> dict[str, str]:
        """The contract's addresses: URLs, or `host:port` where there is no scheme."""
        web = ("api", "edge", "ops", "search", "s3")
        return {name: self.settings.url(name) for name in web} | {
            "kafka": self.settings.address("kafka"),
            "cassandra": self.settings.address("cassandra"),
            "redis": self.settings.redis_url,
            "postgres": self.settings.postgres_dsn,
        }


def is_ready(program: Program) -> bool:
    """Whether the program answers as it should, now."""
    try:
        return program.ready()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return False


@contextmanager
def alone(run: RunDir) -> Iterator[None]:
    """Let one `up` or `down` at a time work on a stack; the next one waits."""
    run.make()
    with (run.path / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
