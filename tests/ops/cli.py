"""The `photofeed` command as its users see it: a process, its exit code, its output."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

LIMIT_S = 60


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    error: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object it printed."""
        parsed: dict[str, Any] = json.loads(self.out)
        return parsed


def photofeed(*words: str) -> Answer:
    """Run `photofeed <words>` against the stack the environment names."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "ops", *words],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def assert_one_line(answer: Answer) -> None:
    """An error is one line, and nothing was printed beside it."""
    assert answer.out == ""
    assert len(answer.error.splitlines()) == 1, answer.error
