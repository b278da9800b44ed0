"""What can be known to fail before anything is started. Each check raises Refused with one line."""

import errno
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from ops.errors import Refused
from ops.servers import jars
from ops.servers.program import Program

_JAVA = 17
_LEAST_FREE_BYTES = 2 * 1024**3

FreeBytes = Callable[[Path], int]


def free_bytes(path: Path) -> int:
    """Free bytes of the disk that holds `path`, or would."""
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def disk(folders: Iterable[Path], free: FreeBytes = free_bytes) -> None:
    """Refuse a nearly full disk: a store that can't write loses what it promised."""
    for folder in folders:
        left = free(folder)
        if left < _LEAST_FREE_BYTES:
            raise Refused(f"disk nearly full: {left / 1024**3:.1f} GiB free for {folder}, 2 needed")


def java() -> None:
    """Refuse a missing or too old Java."""
    how = "install it with `apt-get install openjdk-17-jre-headless` or set JAVA_HOME"
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [jars.java(), "-version"], capture_output=True, text=True, timeout=20, check=False
        )
    except OSError:
        raise Refused(f"Java is missing: {how}") from None
    found = java_version(done.stderr)
    if found < _JAVA:
        raise Refused(f"Java {found} is too old, {_JAVA} is needed: {how}")


def java_version(text: str) -> int:
    """The feature release in the output of `java -version`; 0 if there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else 0


def maven() -> None:
    """Refuse a missing Maven, if jars are still to be fetched."""
    if jars.missing() and shutil.which("mvn") is None:
        raise Refused("Maven is missing: install it with `apt-get install maven`")


def ports(programs: Iterable[Program]) -> None:
    """Refuse a port in use, by whom if that can be seen."""
    for program in programs:
        for purpose, port in program.ports.items():
            if not _free(port):
                raise Refused(
                    f"port {port}, wanted by {program.name} ({purpose}), is in use{_holder(port)}: "
                    "stop that or set PHOTOFEED_PORT_OFFSET"
                )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise Refused(f"port {port} can't be used: {error.strerror}") from None
        return True


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return ""
    for each in connections:
        if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid:
            return f" by pid {each.pid} ({psutil.Process(each.pid).name()})"
    return ""
