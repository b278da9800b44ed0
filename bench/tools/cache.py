"""A Valkey of a benchmark's own, on loopback, and what processes cost."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import hiredis

from ops.servers.redis import binary

Command = tuple[str | bytes, ...]
_START_LIMIT_S = 10.0
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_READ_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Cache:
    """A running server."""

    port: int
    pid: int

    def cpu_s(self) -> float:
        """Processor seconds it has used, user and system."""
        return process_cpu_s(self.pid)


@contextmanager
def valkey(port: int, *options: str) -> Iterator[Cache]:
    """A server with nothing in it and no log of writes; stopped at the end.

    Raises RuntimeError when it isn't there after ten seconds.
    """
    folder = tempfile.mkdtemp(prefix="photofeed-bench-")
    flags = ("--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "")
    command = [str(binary()), *flags, "--databases", "16", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - the package's own server
    try:
        _await_port(port, server)
        yield Cache(port, server.pid)
    finally:
        server.terminate()
        server.wait(_START_LIMIT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _await_port(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"no server on port {port}")


def process_cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, to a hundredth."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def _packed(command: Command) -> bytes:
    data: bytes = hiredis.pack_command(command)  # type: ignore[arg-type] # its stub allows one word
    return data


class Wire:
    """One plain connection: bytes out, replies back; nothing between us and the server."""

    def __init__(self, port: int, database: int = 0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        if database:
            self.call("SELECT", str(database))

    def call(self, *command: str | bytes) -> object:
        """One command, one reply. Raises hiredis.HiredisError that the server answered with."""
        return self.send(_packed(command), 1)[0]

    def pipeline(self, commands: Sequence[Command]) -> list[object]:
        """Many commands, all sent before the first reply is read."""
        return self.send(b"".join(map(_packed, commands)), len(commands))

    def send(self, data: bytes, count: int) -> list[object]:
        """Bytes that hold `count` commands; their replies, in order."""
        self._socket.sendall(data)
        replies: list[object] = []
        while len(replies) < count:
            self._reader.feed(self._socket.recv(_READ_BYTES))
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, hiredis.HiredisError):
                    raise reply
                replies.append(reply)
        return replies

    def send_counted(self, data: bytes, count: int) -> None:
        """The same where every reply is one integer: lines are counted, not parsed."""
        self._socket.sendall(data)
        while count > 0:
            part = self._socket.recv(_READ_BYTES)
            count -= part.count(b"\n")

    def close(self) -> None:
        """Let go of the connection."""
        self._socket.close()
