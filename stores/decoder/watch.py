"""How much time of its own a decoder process has had, told apart from waiting for a processor."""

import contextlib
import os
import time
from pathlib import Path
from typing import Final

_LOOK_S: Final = 0.5
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_ON_ITS_WAY: Final = frozenset("RD")
"""Running, waiting for a processor, or waiting for a disk or for memory (proc(5))."""


class Watch:
    """The patience for one job of one process: call it for the seconds to wait until asking again.

    A job's own time is the processor time it used and the time it slept: what waits for nothing
    hangs. The time in which it was ready and others ran isn't its own. Where /proc doesn't tell,
    only the clock counts.
    """

    def __init__(self, pid: int, own_s: float, limit_s: float) -> None:
        """Begin now: `own_s` of its own time and `limit_s` on the clock are left."""
        self._proc = Path(f"/proc/{pid}")
        self._own_s = own_s
        self._seen_at = time.monotonic()
        self._deadline = self._seen_at + limit_s
        self._began_cpu_s = self._cpu_s = self._looked()[0]
        self._slept_s = 0.0

    def __call__(self) -> float:
        """Seconds to wait at most. Raises TimeoutError when the job's time is over."""
        now = time.monotonic()
        cpu_s, asleep = self._looked()
        if asleep and cpu_s == self._cpu_s:
            # At most one look's worth: if we were away for longer, so may it have been.
            self._slept_s += min(now - self._seen_at, _LOOK_S)
        self._seen_at, self._cpu_s = now, cpu_s
        if self._slept_s + cpu_s - self._began_cpu_s > self._own_s:
            raise TimeoutError(f"{self._own_s:g} s of its own")
        if now >= self._deadline:
            raise TimeoutError("the clock")
        return min(_LOOK_S, self._deadline - now)

    def _looked(self) -> tuple[float, bool]:
        """(processor time of the process in seconds, whether all its threads sleep)."""
        states = set()
        try:
            whole = _fields(self._proc / "stat")
            for task in (self._proc / "task").iterdir():
                with contextlib.suppress(OSError):  # a thread that has ended meanwhile
                    states.add(_fields(task / "stat")[0])
        except OSError:  # it has ended, or /proc hides it
            return 0.0, False
        return (int(whole[11]) + int(whole[12])) * _TICK_S, not states & _ON_ITS_WAY


def _fields(stat: Path) -> list[str]:
    """The fields from the state on; the name before it may hold anything."""
    return stat.read_text().rpartition(")")[2].split()
