"""Breaking things on purpose while the demo runs: kill -9, one role after another."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ops.errors import Refused

_UNTOUCHED = frozenset({"supervisor"})


def choose(run_dir: Path, wanted: Sequence[str]) -> list[str]:
    """The roles to kill: those named, or every one that runs for `all`. Raises Refused."""
    running = sorted(path.stem for path in (run_dir / "pids").glob("*.pid"))
    if "all" in wanted:
        return [role for role in running if role not in _UNTOUCHED]
    if unknown := [role for role in wanted if role not in running]:
        raise Refused(f"no such role runs: {', '.join(unknown)}; there are {', '.join(running)}")
    return list(wanted)


async def kill_each(
    run_dir: Path, roles: Iterable[str], period_s: float, told: Callable[[str], None]
) -> None:
    """SIGKILL each role's process, one every `period_s`; who restarts it is the supervisor."""
    for role in roles:
        await asyncio.sleep(period_s)
        pid = int((run_dir / "pids" / f"{role}.pid").read_text())
        with contextlib.suppress(ProcessLookupError):  # it had died of another's death
            os.kill(pid, signal.SIGKILL)
        told(f"killed {role} (pid {pid})")
