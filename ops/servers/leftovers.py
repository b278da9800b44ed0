"""Processes of a stack whose supervisor was killed: ended by their pid files."""

import signal
import time

from ops.servers import launch
from ops.servers.program import RunDir

_GRACE_S = 20.0


def orphans(run: RunDir) -> list[int]:
    """Processes that a pid file of this stack leads to and that are this stack's."""
    pids = (launch.read_pid(file) for file in sorted(run.path.glob("pids/*.pid")))
    return [found for pid in pids if pid for found in launch.members(pid, str(run.path))]


def end(run: RunDir) -> int:
    """End them: SIGTERM, SIGKILL after a while. Returns how many there were."""
    found = orphans(run)
    launch.signal_all(found, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_S
    while orphans(run) and time.monotonic() < deadline:
        time.sleep(0.1)
    launch.signal_all(orphans(run), signal.SIGKILL)
    for file in run.path.glob("pids/*.pid"):
        file.unlink(missing_ok=True)
    return len(found)
