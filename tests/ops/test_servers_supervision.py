"""Supervision, on a real supervisor with tiny programs: restarts, crash loops, leftovers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.servers import launch, leftovers
from ops.servers.program import Program, RunDir
from ops.servers.supervisor import State, Supervisor, config
from ops.status import Row, is_good
from streams.runtime.flood import EXIT_CODE

LIMIT_S = 20.0


def _row(role: str = "api", state: str = "RUNNING", *, ready: bool = True) -> Row:
    return Row(role, 1, None, state, ready, 0)


HEAD = _row("supervisor")


@pytest.mark.parametrize("state", ["FATAL", "BACKOFF", "EXITED", "UNSUPERVISED", "UNKNOWN"])
def test_a_crash_loop_is_a_problem(state: str) -> None:
    assert not is_good([HEAD, _row(), _row("relay", state)])


def test_running_is_not_yet_ready() -> None:
    assert is_good([HEAD, _row()])
    assert not is_good([HEAD, _row(ready=False)])


def test_stopped_on_purpose_is_no_problem_but_no_supervisor_is() -> None:
    assert is_good([HEAD, _row(state="STOPPED", ready=False)])
    assert not is_good([_row("supervisor", "STOPPED", ready=False), _row()])


def test_backoff_counts_as_being_started_again() -> None:
    assert State("api", "BACKOFF", None).alive
    assert not State("api", "FATAL", None).alive


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    run = RunDir(tmp_path / "run")
    run.make()
    yield run
    if Supervisor(run).answers():
        Supervisor(run).shutdown()
    _until(lambda: not Supervisor(run).answers())
    leftovers.end(run)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.05)


def _log_deaths(run: RunDir, how: str, times: int) -> None:
    at = time.strftime("%Y-%m-%d %H:%M:%S")
    log = run.path / "logs" / "supervisor.log"
    log.write_text(f"{at},123 WARN exited: sleeper ({how}; not expected)\n" * times)


def test_who_works_a_while_and_dies_each_time_is_given_up_as_well(run: RunDir) -> None:
    _log_deaths(run, "exit status 1", 20)
    command = [sys.executable, launch.__file__, str(run.pid_file("sleeper")), str(run.path)]
    refused = subprocess.run(  # noqa: S603 - a fixed command
        [*command, "--", "true"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert refused.stderr.startswith("crash loop: died 20 times")


def test_killed_from_outside_is_no_crash_loop_nor_is_what_up_started_again(run: RunDir) -> None:
    log = run.path / "logs" / "supervisor.log"
    _log_deaths(run, "terminated by SIGKILL", 50)
    assert launch.own_deaths(log, "sleeper", time.time()) == 0
    _log_deaths(run, "exit status 1", 30)
    assert launch.own_deaths(log, "sleeper", time.time() + 3600) == 0
    assert launch.own_deaths(log, "other", time.time()) == 0
    with log.open("a") as file:
        file.write("2026-01-01 00:00:00,1 INFO gave up: sleeper entered FATAL state, too many\n")
    assert launch.own_deaths(log, "sleeper", time.time()) == 0


def _sleeper(run: RunDir, name: str = "sleeper") -> Program:
    return Program(name, ("sleep", "600"), run.path, lambda: True, stop_s=5)


def _pid(run: RunDir, name: str = "sleeper") -> int | None:
    return launch.read_pid(run.pid_file(name))


def _start(run: RunDir, *programs: Program) -> Supervisor:
    supervisor = Supervisor(run)
    supervisor.start(config(run, programs))
    for program in programs:
        supervisor.run(program.name)
        _until(lambda name=program.name: _pid(run, name) is not None)  # type: ignore[misc] # a default argument binds the loop's name
    return supervisor


def _comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_the_pid_file_holds_the_real_process(run: RunDir) -> None:
    _start(run, _sleeper(run))
    _until(lambda: _comm(_pid(run) or 0) == "sleep")


def test_a_killed_program_comes_back(run: RunDir) -> None:
    _start(run, _sleeper(run))
    first = _pid(run)
    assert first
    os.kill(first, signal.SIGKILL)
    _until(lambda: _pid(run) not in {None, first})


def test_a_worker_that_stopped_for_a_flood_stays_stopped_until_it_is_started(run: RunDir) -> None:
    # Longer than the supervisor's ten seconds: what ends sooner has failed to start.
    script = f"import time, sys; time.sleep(10.5); sys.exit({EXIT_CODE})"
    supervisor = _start(run, Program("w", (sys.executable, "-c", script), run.path, lambda: True))
    first = _pid(run, "w")

    def state() -> str:
        found = supervisor.state("w")
        return found.state if found else ""

    _until(lambda: state() == "EXITED")
    time.sleep(2)  # longer than the supervisor takes to start anything again
    assert (state(), _pid(run, "w")) == ("EXITED", first)
    supervisor.run("w")
    _until(lambda: _pid(run, "w") != first)


def test_a_second_start_changes_nothing(run: RunDir) -> None:
    _start(run, _sleeper(run))
    first = _pid(run)
    _start(run, _sleeper(run))
    assert _pid(run) == first


def test_new_and_dropped_programs_reach_a_running_supervisor(run: RunDir) -> None:
    _start(run, _sleeper(run, "one"))
    kept = _pid(run, "one")
    supervisor = _start(run, _sleeper(run, "one"), _sleeper(run, "two"))
    assert set(supervisor.states()) == {"one", "two"}
    assert _pid(run, "one") == kept
    supervisor.start(config(run, [_sleeper(run, "two")]))
    assert set(supervisor.states()) == {"two"}


def test_children_of_a_killed_program_end_before_it_starts_again(run: RunDir) -> None:
    """A killed nginx leaves workers that would keep the port."""
    parent = Program(
        "parent",
        (sys.executable, "-c", "import subprocess as s; s.run(['sleep', '601'])"),
        run.path,
        lambda: True,
    )
    _start(run, parent)
    first = _pid(run, "parent")
    assert first
    _until(lambda: len(launch.members(first, str(run.path))) == 2)
    (child,) = [p for p in launch.members(first, str(run.path)) if p != first]
    os.kill(first, signal.SIGKILL)
    _until(lambda: _pid(run, "parent") not in {None, first})
    _until(lambda: _comm(child) == "")


def test_what_a_killed_supervisor_leaves_is_ended(run: RunDir) -> None:
    _start(run, _sleeper(run))
    supervisor, sleeper = _pid(run, "supervisor"), _pid(run)
    assert supervisor
    assert sleeper
    os.kill(supervisor, signal.SIGKILL)
    _until(lambda: not Supervisor(run).answers())
    assert leftovers.orphans(run) == [sleeper]
    assert leftovers.end(run) == 1
    assert leftovers.orphans(run) == []
    assert not run.pid_file("sleeper").exists()


def test_a_strangers_process_with_an_old_pid_is_left_alone(run: RunDir) -> None:
    """Pids are used again: this test's own group is certainly not a program of that stack."""
    run.pid_file("redis").write_text(f"{os.getpgrp()}\n")
    assert leftovers.orphans(run) == []
    assert leftovers.end(run) == 0
