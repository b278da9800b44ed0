"""Jars of the Java servers: fetched once by Maven into a cache that all clones share.

A server's folder is `<cache>/<server>-<version>-<hash of what it is made from>/` with `lib/` and,
for the search node, `classes/`. A complete folder is never touched again and needs neither Maven
nor a network; it appears by one rename, so a broken download leaves nothing half-made behind.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

from ops.errors import Refused

_HERE = Path(__file__).parent
_POMS = _HERE / "maven"
_SEARCH_NODE = _HERE / "java" / "SearchNode.java"
_LIMIT_S = 540
JAVA_SERVERS = ("kafka", "cassandra", "search")


def cache() -> Path:
    """The cache of all clones: `$XDG_CACHE_HOME/photofeed` or `~/.cache/photofeed`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photofeed"


def version(server: str) -> str:
    """The pinned version of a Java server."""
    root = ET.parse(_POMS / "pom.xml").getroot()  # noqa: S314 - our own file
    found = root.findtext(f".//{{*}}{server}.version")
    if found is None:
        raise KeyError(server)
    return found


def home(server: str) -> Path:
    """Where a server's jars are, or will be."""
    parts = [_POMS / "pom.xml", _POMS / server / "pom.xml"]
    parts += [_SEARCH_NODE] if server == "search" else []
    digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]
    return cache() / f"{server}-{version(server)}-{digest}"


def lib(server: str) -> Path:
    """The folder of a server's jars."""
    return home(server) / "lib"


def missing() -> list[str]:
    """The Java servers whose jars are not in the cache."""
    return [server for server in JAVA_SERVERS if not home(server).is_dir()]


def install() -> None:
    """Fetch what is missing. Raises Refused with Maven's own reason."""
    if not missing():
        return
    cache().mkdir(parents=True, exist_ok=True)
    with _lock(), tempfile.TemporaryDirectory(dir=cache()) as work:
        wanted = missing()  # another clone may have been quicker
        if not wanted:
            return
        _maven(wanted, Path(work))
        if "search" in wanted:
            _compile_search_node(Path(work) / "search")
        for server in wanted:
            (Path(work) / server).rename(home(server))


@contextmanager
def _lock() -> Iterator[None]:
    with (cache() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _maven(servers: list[str], out: Path) -> None:
    """Copy the servers' dependencies to `out`, without a network if Maven's cache has them all."""
    if shutil.which("mvn") is None:
        raise Refused("Maven is missing: install it with `apt-get install maven`")
    base = ["mvn", "-q", "-B", "-ntp", f"-Dout={out}", "-pl", ",".join(servers)]
    known = (Path.home() / ".m2" / "repository").is_dir()
    tries = [[*base, "-o"], base] if known else [base]
    problem = ""
    for command in tries:
        done = subprocess.run(  # noqa: S603 - a fixed command
            [*command, "generate-resources"],
            cwd=_POMS, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return
        problem = next((ln for ln in done.stdout.splitlines() if "ERROR" in ln), done.stderr)
    raise Refused(
        f"Maven could not fetch the jars of {', '.join(servers)}: {problem.strip()[:300]}"
    )


def _compile_search_node(folder: Path) -> None:
    """Compile SearchNode.java by the compiler among the jars: a Java runtime has none."""
    path = f"{folder}/lib/*"
    compiler = "org.eclipse.jdt.internal.compiler.batch.Main"
    flags = ("-17", "-nowarn", "-proc:none", "-cp", ":".join(map(str, folder.glob("lib/*.jar"))))
    done = subprocess.run(  # noqa: S603 - a fixed command
        [java(), "-cp", path, compiler, *flags, "-d", str(folder / "classes"), str(_SEARCH_NODE)],
        capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise Refused(f"SearchNode.java does not compile: {done.stderr.strip()[:300]}")


def java() -> str:
    """The Java to use: `$JAVA_HOME`'s, or the one on the path."""
    base = os.environ.get("JAVA_HOME")
    return str(Path(base) / "bin" / "java") if base else "java"


def java_command(heap_mib: int, folder: Path, *options: str) -> tuple[str, ...]:
    """A Java command up to its class path: small and quick to start on two cores.

    The serial collector costs no threads and least memory at heaps of this size; a server that
    runs out of heap ends, so that the supervisor starts it again, rather than limp on. The quick
    compiler alone halves the time to start (20 s of CPU for the three, 12 without the slow one).
    """
    return (
        java(), f"-Xms{heap_mib // 2}m", f"-Xmx{heap_mib}m", "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "-Xshare:auto",
        f"-Djava.io.tmpdir={folder / 'tmp'}", "-Djava.awt.headless=true", "-Dfile.encoding=UTF-8",
        *options,
    )  # fmt: skip
