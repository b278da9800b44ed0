"""A client of a stream that stops reading: real sockets, whose buffers are full."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.waiting import until

DEAF = 40
LIMIT_S = 10.0
ROOM_KIB = 8 * 1024  # of the process, for as many as that; a full buffer of each is 80 KiB
GAP_S = 1.5  # between two comments on a busy machine


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, int]]:
    """(process id, port) of a server of streams without end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (sys.executable, "-m", "tests.api.feed.lavish_streams", str(port))
    process = await asyncio.create_subprocess_exec(*command, env=dict(os.environ))
    try:

        async def listens() -> bool:
            with socket.socket() as knock:
                return knock.connect_ex(("127.0.0.1", port)) == 0

        await until(listens)
        yield process.pid, port
    finally:
        process.terminate()
        await process.wait()


def asked(port: int, name: str) -> bytes:
    return f"GET /feed/stream HTTP/1.1\r\nHost: a:{port}\r\nAuthorization: {name}\r\n\r\n".encode()


def deaf(port: int, name: str) -> socket.socket:
    """Somebody who asks for a stream and reads nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(asked(port, name))
    return client


def kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_who_stops_reading_is_cut_off_and_the_others_go_on(server: tuple[int, int]) -> None:
    pid, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(asked(port, "quiet"))
    await reader.readuntil(b":\n\n")
    before_kib, before = kib(pid), descriptors(pid)
    gaps: list[float] = []

    async def hears() -> None:
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            await reader.readuntil(b":\n\n")
            gaps.append(loop.time() - since)

    hearing = asyncio.create_task(hears())
    with ExitStack() as clients:
        for number in range(DEAF):
            clients.enter_context(deaf(port, f"deaf{number}"))

        async def connected() -> bool:
            return descriptors(pid) >= before + DEAF

        await until(connected)
        most_kib = kib(pid)

        async def cut_off() -> bool:
            nonlocal most_kib
            most_kib = max(most_kib, kib(pid))
            return descriptors(pid) == before

        await until(cut_off, LIMIT_S)
    assert most_kib - before_kib < ROOM_KIB
    assert not hearing.done()
    hearing.cancel()
    assert len(gaps) > LIMIT_S / 10
    assert max(gaps) < GAP_S
    writer.close()
