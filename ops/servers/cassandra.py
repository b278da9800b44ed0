"""Cassandra, one node."""

import os
import shutil
from functools import partial
from pathlib import Path

from domain.settings import Settings
from ops.servers import jars, probes
from ops.servers.program import Program, RunDir
from ops.servers.render import TEMPLATES, render

_OPTIONS = bytes([4, 0, 0, 0, 5, 0, 0, 0, 0])
_SUPPORTED = 6
"""CQL's opcode of the answer to OPTIONS: the node takes queries."""


def program(settings: Settings, run: RunDir) -> Program:
    """The node."""
    folder = run.of("cassandra")
    return Program(
        name="cassandra",
        command=(*_without_locked_memory(), *_command(settings, folder)),
        cwd=folder,
        ports={
            "cassandra": settings.port("cassandra"),
            "storage": settings.port("cassandra_storage"),
        },
        environment={"MALLOC_ARENA_MAX": "2"},
        prepare=partial(prepare, settings, folder),
        ready=partial(_answers, settings.port("cassandra")),
        stop_s=60,
    )


def config(settings: Settings) -> str:
    """The text of cassandra.yaml."""
    return render(
        "cassandra.yaml",
        port=settings.port("cassandra"),
        storage_port=settings.port("cassandra_storage"),
    )


def prepare(settings: Settings, folder: Path) -> None:
    """Write the configuration."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    (folder / "cassandra.yaml").write_text(config(settings))


def _without_locked_memory() -> tuple[str, ...]:
    """Take CAP_IPC_LOCK from root: with it Cassandra pins its whole heap (855 MB, not 400)."""
    if os.geteuid() == 0 and shutil.which("setpriv"):
        return ("setpriv", "--bounding-set", "-ipc_lock")
    return ()


def _command(settings: Settings, folder: Path) -> tuple[str, ...]:
    lib = jars.lib("cassandra")
    agent = next(lib.glob("jamm-*.jar"), lib / "jamm.jar")
    return jars.java_command(
        settings.heaps.cassandra_mib,
        folder,
        f"@{TEMPLATES / 'cassandra.options'}",
        f"-javaagent:{agent}",
        f"-Dcassandra.config={(folder / 'cassandra.yaml').as_uri()}",
        f"-Dcassandra.storagedir={folder}",
        f"-Dlogback.configurationFile={TEMPLATES / 'logback.xml'}",
        "-Dcassandra-foreground=yes",
        f"-Djna.tmpdir={folder / 'tmp'}",
        "-Dcassandra.superuser_setup_delay_ms=0",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        "-Dcassandra.ring_delay_ms=1000",
        "-Dcassandra.load_ring_state=false",
        "-cp",
        f"{lib}/*",
        "org.apache.cassandra.service.CassandraDaemon",
    )


def _answers(port: int) -> bool:
    answer = probes.exchange(port, _OPTIONS, 16)
    return len(answer) > 4 and answer[4] == _SUPPORTED  # noqa: PLR2004 - the header's opcode
