"""The id generator of a process: snowflakes under a machine id that is leased durably (I12).

What makes a collision impossible is not the lease's time but the range of milliseconds that is
granted with it: an id is made only for a granted one, and no millisecond of a machine id is ever
granted twice. The lease only keeps processes from taking each other's machine ids all the time.
"""

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from domain.errors import Transient
from domain.ids import Snowflakes, spell
from domain.ports.log import MachineLeases

LEASE_S = 60.0
_NO_FASTER_S = 0.2
_log = structlog.get_logger()


@dataclass(slots=True)
class _Lease:
    """A machine id as it is held: until when, by the monotonic clock and in milliseconds."""

    flakes: Snowflakes
    ends_at: float
    use_until: int


class IdSource:
    """Makes ids without waiting; renews its lease in the background.

    Not for several threads. `wall_s` and `monotonic_s` are clocks, in seconds.
    """

    def __init__(
        self,
        leases: MachineLeases,
        *,
        lease_s: float = LEASE_S,
        wall_s: Callable[[], float] = time.time,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leases = leases
        self._lease_s = lease_s
        self._wall_s = wall_s
        self._monotonic_s = monotonic_s
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4()}"
        self._lease: _Lease | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    async def start(self) -> None:
        """Lease a machine id and keep it; twice is once. Raises Transient, StoreAway."""
        if self._renewal is None:
            await self.hold()
            self._renewal = asyncio.create_task(self._keep(), name="id lease")

    def next_id(self, prefix: str = "") -> str:
        """A new id: `prefix` (`ph_`, `u_`, …) and eleven characters that sort by time.

        Raises Transient when the lease has run out, the clock stepped back far, or before start().
        """
        lease = self._lease
        if lease is None or self._monotonic_s() >= lease.ends_at:
            self._hurry.set()
            raise Transient("no machine id is leased")
        try:
            return prefix + spell(lease.flakes.next(self._now_ms(), lease.use_until))
        except Transient:
            self._hurry.set()
            raise

    async def hold(self) -> None:
        """Renew the lease, or take a new one when there is none (any more)."""
        asked_at, use_until = self._monotonic_s(), self._now_ms() + round(self._lease_s * 1000)
        lease = self._lease
        if lease is not None and await self._leases.renew(
            lease.flakes.machine_id, self._holder, self._lease_s, use_until
        ):
            flakes = lease.flakes
        else:
            self._lease = None
            machine = await self._leases.acquire(self._holder, self._lease_s, use_until)
            flakes = Snowflakes(*machine)
        # Counted from before the call: at the server the lease ends later than here.
        self._lease = _Lease(flakes, asked_at + self._lease_s, use_until)

    async def close(self) -> None:
        """Stop making ids and give the machine id back; when that fails, it runs out by itself."""
        if self._renewal is not None:
            self._renewal.cancel()
            with suppress(asyncio.CancelledError):
                await self._renewal
            self._renewal = None
        lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(Transient):
                await self._leases.release(
                    lease.flakes.machine_id, self._holder, lease.flakes.last_ms
                )

    async def _keep(self) -> None:
        pause_s = self._lease_s / 3
        while True:
            await asyncio.sleep(min(_NO_FASTER_S, pause_s))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), pause_s)
            self._hurry.clear()
            try:
                await self.hold()
                pause_s = self._lease_s / 3
            except Transient as error:
                _log.warning("id_lease.not_renewed", error=str(error))
                pause_s = min(1.0, self._lease_s / 10)

    def _now_ms(self) -> int:
        return int(self._wall_s() * 1000)
