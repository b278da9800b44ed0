"""Kafka, one KRaft node. Topics and their retention are the catalogue's, not the broker's."""

import base64
import os
import subprocess
import uuid
from functools import partial
from pathlib import Path

from domain.settings import Settings
from ops.errors import Refused
from ops.servers import jars, probes
from ops.servers.program import Program, RunDir
from ops.servers.render import TEMPLATES, render

_API_VERSIONS = bytes.fromhex("0000000a 0012 0000 00000001 ffff".replace(" ", ""))
"""ApiVersions v0 without a client id: answered once the broker serves requests."""


def program(settings: Settings, run: RunDir) -> Program:
    """The broker."""
    folder = run.of("kafka")
    port = settings.port("kafka")
    return Program(
        name="kafka",
        command=_java(settings.heaps.kafka_mib, folder, "kafka.Kafka", _config(folder)),
        cwd=folder,
        ports={"kafka": port, "kafka_controller": settings.port("kafka_controller")},
        environment={"MALLOC_ARENA_MAX": "2"},
        prepare=partial(prepare, settings, folder),
        ready=lambda: len(probes.exchange(port, _API_VERSIONS, 8)) > 0,
    )


def config(settings: Settings, folder: Path) -> str:
    """The text of server.properties."""
    return render(
        "kafka.properties",
        port=settings.port("kafka"),
        controller_port=settings.port("kafka_controller"),
        data=folder / "data",
    )


def prepare(settings: Settings, folder: Path) -> None:
    """Write the configuration and format the log folder once. Raises Refused."""
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    Path(_config(folder)).write_text(config(settings, folder))
    if (folder / "data" / "meta.properties").exists():
        return
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # In one word: an id may begin with a dash and would be taken for an option.
    tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", _config(folder))
    done = subprocess.run(  # noqa: S603 - a fixed command
        _java(128, folder, *tool), capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "MALLOC_ARENA_MAX": "2"},
    )  # fmt: skip
    if done.returncode != 0:
        raise Refused(f"kafka: formatting failed: {done.stderr.strip()[-300:]}")


def _config(folder: Path) -> str:
    return str(folder / "server.properties")


def _java(heap_mib: int, folder: Path, *arguments: str) -> tuple[str, ...]:
    logging = f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.properties'}"
    base = jars.java_command(heap_mib, folder, logging)
    return (*base, "-cp", f"{jars.lib('kafka')}/*", *arguments)
