"""Our own processes: API, shield, outbox relay, operators' console, stage workers."""

import os
import sys
from functools import partial

from domain.settings import ROOT, Settings
from ops.servers import probes
from ops.servers.program import Program, RunDir


def programs(settings: Settings, run: RunDir) -> list[Program]:
    """All of them, workers as often as the settings say; a worker's index counts from 0."""
    workers = [
        _beating(run, f"worker-{stage}-{index}", "streams.worker", stage, "--index", str(index))
        for stage, count in settings.workers
        for index in range(count)
    ]
    return [
        _listening(settings, "shield", "shield", "api.shield", "/health/live"),
        _listening(settings, "api", "api", "api", "/health/ready"),
        _listening(settings, "console", "ops", "ops.console", "/health/live"),
        _beating(run, "relay", "streams.relay"),
        _beating(run, "worker-reconcile-0", "streams.reconcile"),
        *workers,
    ]


def environment(run: RunDir) -> dict[str, str]:
    """What each of them gets: the settings as they were given, and where metrics are shared."""
    given = {name: value for name, value in os.environ.items() if name.startswith("PHOTOFEED_")}
    return given | {
        "PHOTOFEED_RUN_DIR": str(run.path),
        "PROMETHEUS_MULTIPROC_DIR": str(run.metrics),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def _listening(settings: Settings, name: str, port: str, module: str, path: str) -> Program:
    number = settings.port(port)
    return Program(
        name=name,
        command=_python(module),
        cwd=ROOT,
        environment=environment(RunDir(settings.run_dir)),
        ports={port: number},
        ready=partial(probes.http_ok, number, path),
    )


def _beating(run: RunDir, name: str, module: str, *arguments: str) -> Program:
    return Program(
        name=name,
        command=_python(module, *arguments),
        cwd=ROOT,
        environment=environment(run),
        ready=partial(probes.heartbeat, run.health(name), run.pid_file(name)),
        stop_s=60,
    )
