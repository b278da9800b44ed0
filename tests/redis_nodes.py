"""Redis servers of a test's own: they may be killed, stopped, or joined to a cluster."""

import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from functools import partial
from tempfile import TemporaryDirectory

from domain.errors import StoreAway
from domain.secrets import Secrets
from domain.settings import Redis, Settings
from ops.servers.redis import binary
from stores.connect import Stores
from stores.redis_server import RedisServer
from stores.redis_wire import Reply
from tests.waiting import until

LIMIT_S = 20.0
SLOTS = 16_384


class RedisNode:
    """One server on loopback, without persistence."""

    def __init__(self, folder: str, *, clustered: bool = False) -> None:
        self.port, self.bus_port = _free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.address}/0"
        self._server = RedisServer.at(self.url)
        self._command: list[str] = [str(binary()), "--port", str(self.port), "--bind", "127.0.0.1"]
        self._command += ["--save", "", "--dir", folder, "--cluster-port", str(self.bus_port)]
        if clustered:
            self._command += ["--cluster-enabled", "yes"]
            self._command += ["--cluster-config-file", f"{self.port}.conf"]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self._launch()
        await until(self._answers)

    def _launch(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)  # noqa: S603 - the project's own server

    async def _answers(self) -> bool:
        try:
            return bool(await self.call("PING", "hello") == b"hello")
        except StoreAway:
            return False

    async def call(self, command: str, *words: str | int) -> Reply:
        """Ask this node something."""
        first, *rest = map(str, words)
        return await self._server.call(command, first, *rest)

    async def close(self) -> None:
        """End the connection and the server."""
        await self._server.close()
        self.kill()

    def kill(self) -> None:
        """End it without warning, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Meanwhile it takes connections and bytes, and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


@asynccontextmanager
async def redis_nodes(count: int, *, clustered: bool = False) -> AsyncIterator[list[RedisNode]]:
    """Servers that know nothing of each other."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        nodes = [RedisNode(folder, clustered=clustered) for _ in range(count)]
        for node in nodes:
            stack.push_async_callback(node.close)
            await node.start()
        yield nodes


@asynccontextmanager
async def redis_cluster(count: int = 3) -> AsyncIterator[list[RedisNode]]:
    """A cluster whose nodes share the slots evenly."""
    async with redis_nodes(count, clustered=True) as nodes:
        for number, node in enumerate(nodes):
            ends = (number * SLOTS // count, (number + 1) * SLOTS // count - 1)
            await node.call("CLUSTER", "ADDSLOTSRANGE", *ends)
            await node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first = ("127.0.0.1", nodes[0].port, nodes[0].bus_port)
        for node in nodes[1:]:
            await node.call("CLUSTER", "MEET", *first)
        for node in nodes:
            await until(partial(_whole, node, count))
        yield nodes


@asynccontextmanager
async def clustered(settings: Settings) -> AsyncIterator[Stores]:
    """The adapters of a running stack, over a cluster of their own instead of its one Redis."""
    async with redis_cluster() as nodes:
        redis = Redis(cluster_nodes=tuple(node.address for node in nodes))
        opened = Stores(
            settings.model_copy(update={"redis": redis}), Secrets.load(settings.run_dir)
        )
        yield opened
        await opened.close()


async def _whole(node: RedisNode, count: int) -> bool:
    """Whether a node sees all the others and all slots."""
    told = set((await node.call("CLUSTER", "INFO")).splitlines())
    return {b"cluster_state:ok", b"cluster_known_nodes:%d" % count} <= told


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens at just now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
