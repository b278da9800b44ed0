"""Become a program: clear what its last life left running, write the pid file, then exec.

Run as a file, with the standard library alone: `launch.py PID_FILE HOME [NAME=VALUE…] -- COMMAND…`.
The pid file holds the pid of the real process, because exec keeps it. The supervisor makes every
program the leader of a process group, so what a killed one leaves behind (nginx's workers, who
would keep the port) are the members of the group whose number is in the old pid file.

The supervisor gives up a program that dies at once, again and again. One that works for a while
before it dies (a worker on an event it can't survive) it would start for ever: after so many deaths
in ten minutes by the program's own exit code this refuses to start it, and so it is given up too.
"""

import os
import signal
import sys
import time
from pathlib import Path

_LIMIT_S = 5.0
_LOOP = 20
_WINDOW_S = 600
_LOG_TAIL_BYTES = 1 << 20


def read_pid(pid_file: Path) -> int | None:
    """The pid in a pid file, None if there is none."""
    try:
        return int(pid_file.read_text())
    except (OSError, ValueError):
        return None


def own_deaths(log: Path, role: str, now: float) -> int:
    """How often a role ended with an exit code of its own in the ten minutes before `now` (Unix).

    Told by the supervisor's log, since it last gave the role up. A kill -9 isn't counted.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return 0
    deaths = 0
    for line in lines:
        if f" gave up: {role} entered FATAL" in line:
            deaths = 0
        elif f" exited: {role} (exit status" in line and "; not expected)" in line:
            deaths += now - _logged_at(line) <= _WINDOW_S
    return deaths


def _logged_at(line: str) -> float:
    """When the supervisor wrote a line, Unix seconds; 0 when it doesn't say."""
    try:
        return time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return 0.0


def members(group: int, home: str) -> list[int]:
    """Living processes of a process group that belong to the stack in the folder `home`.

    Group numbers are used again by others after a restart of the machine: the second condition
    keeps us from touching them.
    """
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if _group(pid) == group and _belongs(pid, home)]


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal; a process that has ended meanwhile is fine."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def main(arguments: list[str]) -> None:
    """Do what the module says."""
    split = arguments.index("--")
    (pid_file, home, *assignments), command = arguments[:split], arguments[split + 1 :]
    log = Path(home) / "logs" / "supervisor.log"
    if (died := own_deaths(log, Path(pid_file).stem, time.time())) >= _LOOP:
        sys.exit(f"crash loop: died {died} times in ten minutes by itself; mend it, then: up")
    old = read_pid(Path(pid_file))
    if old is not None and old != os.getpid():
        _clear(old, home)
    draft = Path(f"{pid_file}.new")
    draft.write_text(f"{os.getpid()}\n")
    draft.rename(pid_file)
    environment = dict(item.split("=", 1) for item in assignments)
    os.execvpe(command[0], command, os.environ | environment)  # noqa: S606 - this is its purpose


def _clear(group: int, home: str) -> None:
    deadline = time.monotonic() + _LIMIT_S
    while (left := members(group, home)) and time.monotonic() < deadline:
        signal_all(left, signal.SIGKILL)
        time.sleep(0.05)


def _group(pid: int) -> int | None:
    """The process group; None for a process that has ended, even if nobody has waited for it."""
    try:
        state, _, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return None if state == "Z" else int(group)


def _belongs(pid: int, home: str) -> bool:
    """Whether a process names the folder, works in it or was given it as its run folder."""
    process = Path(f"/proc/{pid}")
    inside = f"{home}/"
    try:
        if inside in (process / "cmdline").read_bytes().decode(errors="replace"):
            return True
        if f"{(process / 'cwd').readlink()}/".startswith(inside):
            return True
        given = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's: its command line had to do
        return False
    return f"PHOTOFEED_RUN_DIR={home}".encode() in given


if __name__ == "__main__":
    main(sys.argv[1:])
