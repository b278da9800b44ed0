"""OpenSearch, one node, started by the small class in java/SearchNode.java."""

import json
from functools import partial

from domain.settings import Settings
from ops.servers import jars, probes
from ops.servers.program import Program, RunDir
from ops.servers.render import TEMPLATES

_NETTY = (
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Dopensearch.set.netty.runtime.available.processors=false",
)


def program(settings: Settings, run: RunDir) -> Program:
    """The node."""
    folder = run.of("search")
    port, transport = settings.port("search"), settings.port("search_transport")
    home = jars.home("search")
    base = jars.java_command(
        settings.heaps.search_mib,
        folder,
        "-Dlog4j2.disable.jmx=true",
        f"-Dlog4j2.configurationFile={TEMPLATES / 'log4j2.properties'}",
        *_NETTY,
    )
    arguments = ("SearchNode", str(folder), str(port), str(transport))
    return Program(
        name="search",
        command=(*base, "-cp", f"{home}/classes:{home}/lib/*", *arguments),
        cwd=folder,
        ports={"search": port, "transport": transport},
        environment={"MALLOC_ARENA_MAX": "2"},
        prepare=partial((folder / "tmp").mkdir, parents=True, exist_ok=True),
        ready=partial(_answers, port),
    )


def _answers(port: int) -> bool:
    path = "/_cluster/health?wait_for_status=yellow&timeout=1s"
    status, body = probes.http_get(port, path)
    return status == 200 and not json.loads(body)["timed_out"]  # noqa: PLR2004 - OK
