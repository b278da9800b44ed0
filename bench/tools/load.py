"""Readers over HTTP/1.1 on loopback: as fast as answered, or at a rate whatever is answered.

One connection carries one call at a time. In the open loop a call's time counts from when it was
due, so that a server that falls behind can't hide it (coordinated omission).
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

_LIMIT_S, _PATIENCE_S = 60.0, 3.0
_CONNECTIONS = 64
_SEED = 7


@dataclass(slots=True)
class Outcome:
    """What the calls came to: milliseconds each, and how many were not what they should be."""

    latencies_ms: list[float] = field(default_factory=list)
    wrong: int = 0
    seconds: float = 0.0


Check = Callable[[bytes], bool]
"""Whether a whole answer, head and body, is right."""


class _Caller(asyncio.Protocol):
    """One kept-alive connection."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._whole = 0
        self._done: Callable[[bytes], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """An answer that didn't come is a wrong one."""
        if self._done is not None:
            done, self._done = self._done, None
            done(b"")

    def call(self, request: bytes, done: Callable[[bytes], None]) -> None:
        """Send; `done` gets the whole answer."""
        self._done = done
        if self.transport is None or self.transport.is_closing():
            asyncio.get_running_loop().call_later(0.01, self.connection_lost, None)
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Collect one answer by its Content-Length."""
        self._buffer += data
        if not self._whole:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end]).lower()
            _, _, length = head.partition(b"content-length: ")
            self._whole = end + 4 + int(length.partition(b"\r\n")[0] or b"0")
        if len(self._buffer) >= self._whole and self._done is not None:
            answer, done = bytes(self._buffer), self._done
            self._buffer.clear()
            self._whole, self._done = 0, None
            done(answer)


async def _connections(port: int, count: int) -> list[_Caller]:
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(_Caller, "127.0.0.1", port) for _ in range(count)]
    return [caller for _, caller in pairs]


async def closed_loop(
    port: int, requests: Sequence[bytes], count: int, check: Check, connections: int = 4
) -> Outcome:
    """`count` calls, each connection sending its next when the last is answered."""
    outcome, left = Outcome(), count
    finished = asyncio.Event()
    callers = await _connections(port, connections)

    def send(caller: _Caller) -> None:
        nonlocal left
        if left <= 0:
            return
        left -= 1
        began = time.perf_counter()

        def done(answer: bytes) -> None:
            outcome.latencies_ms.append((time.perf_counter() - began) * 1000)
            outcome.wrong += not check(answer)
            if len(outcome.latencies_ms) == count:
                finished.set()
            send(caller)

        caller.call(requests[left % len(requests)], done)

    started = time.perf_counter()
    async with asyncio.timeout(_LIMIT_S):
        for caller in callers:
            send(caller)
        await finished.wait()
    outcome.seconds = time.perf_counter() - started
    _close(callers)
    return outcome


class _Queue:
    """Calls that are due, and connections to carry them."""

    def __init__(self, callers: Sequence[_Caller], check: Check) -> None:
        self.outcome = Outcome()
        self.waiting: deque[tuple[float, bytes]] = deque()
        self._idle = deque(callers)
        self._check = check

    def send(self) -> None:
        """Everything that waits, as far as there are connections."""
        while self._idle and self.waiting:
            caller = self._idle.popleft()
            due, request = self.waiting.popleft()
            caller.call(request, partial(self._done, caller, due))

    def _done(self, caller: _Caller, due: float, answer: bytes) -> None:
        self.outcome.latencies_ms.append((time.perf_counter() - due) * 1000)
        self.outcome.wrong += not self._check(answer)
        self._idle.append(caller)
        self.send()


async def open_loop(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, check: Check
) -> Outcome:
    """Calls at `rate` a second, at random times (a Poisson process), for so many seconds.

    What isn't answered three seconds after the end took three seconds.
    """
    chance = random.Random(_SEED)  # noqa: S311 - a replay
    callers = await _connections(port, _CONNECTIONS)
    queue = _Queue(callers, check)
    started = due = time.perf_counter()
    sent = 0
    while due < started + seconds:
        due += chance.expovariate(rate)
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        queue.waiting.append((due, requests[sent % len(requests)]))
        sent += 1
        queue.send()
    outcome, given_up = queue.outcome, time.perf_counter() + _PATIENCE_S
    while len(outcome.latencies_ms) < sent and time.perf_counter() < given_up:  # noqa: ASYNC110 - a bounded look, after the measurement
        await asyncio.sleep(0.005)
    outcome.latencies_ms += [_PATIENCE_S * 1000] * (sent - len(outcome.latencies_ms))
    outcome.seconds = time.perf_counter() - started
    _close(callers)
    return outcome


def _close(callers: Sequence[_Caller]) -> None:
    for caller in callers:
        if caller.transport is not None:
            caller.transport.abort()
