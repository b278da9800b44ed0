"""`make bench`: every script after the other, each with a limit, and one table at the end.

The stack is started once, servers first: what is measured alone runs before the stages are there.
Ends with 1 when a script broke or ran out of time; a missed bar is in the table.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.tools import stack
from bench.tools.report import RESULTS, show
from domain.settings import ROOT

ALONE = ("images", "edge", "blocklist", "threshold", "memory", "fan_out")
SERVERS = ("adaptive", "feed_read", "grid", "rebuild", "growth")
WHOLE = ("big_post",)
_LIMIT_S, _ENDING_S = 300, 60
_PAGE = ROOT / "docs" / "benchmarks.md"
_MARKS = ("<!-- figures -->\n", "<!-- end of figures -->")


def run(name: str) -> str:
    """One script; nothing, or what went wrong. One that takes too long may end what it started."""
    began = time.time()
    command = [sys.executable, str(ROOT / "bench" / f"{name}.py")]
    with subprocess.Popen(command, cwd=ROOT) as script:  # noqa: S603 - our own script
        try:
            code = script.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            script.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                script.wait(_ENDING_S)
            script.kill()
            return f"{name}: not done after {_LIMIT_S} s"
    file = RESULTS / f"{name}.json"
    if file.exists() and file.stat().st_mtime >= began:
        return ""
    return f"{name}: ended with {code}"


def table() -> None:
    """All figures that have a bar, from the results files: on the terminal and in the docs."""
    rows = []
    for name in (*ALONE, *SERVERS, *WHOLE):
        file = RESULTS / f"{name}.json"
        rows += _barred(name, file) if file.exists() else []
    show("all bars", rows)
    before, mark, rest = _PAGE.read_text().partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    lines = ["| figure | value | bar | verdict |", "|---|---|---|---|", *map(_line, rows)]
    _PAGE.write_text(before + mark + "\n".join(lines) + "\n" + end + after)


def _line(row: dict[str, Any]) -> str:
    bar = " ".join(map(str, row["bar"]))
    return f"| {row['name']} | {row['value']:,.4g} {row['unit']} | {bar} | {row['verdict']} |"


def _barred(name: str, file: Path) -> list[dict[str, Any]]:
    document = json.loads(file.read_text())
    figures = document.get("figures", []) if isinstance(document, dict) else []
    return [row | {"name": f"{name}: {row['name']}"} for row in figures if row.get("bar")]


def main() -> int:
    """Run them all; an exit code."""
    RESULTS.mkdir(exist_ok=True)
    stack.photofeed("down", limit_s=120)
    shutil.rmtree(stack.settings().run_dir, ignore_errors=True)
    problems = [run(name) for name in ALONE]
    try:
        with stack.running(whole=False):
            problems += [run(name) for name in (*SERVERS, *WHOLE)]
    finally:
        table()
    for problem in filter(None, problems):
        sys.stderr.write(f"{problem}\n")
    return 1 if any(problems) else 0


if __name__ == "__main__":
    sys.exit(main())
