"""What a benchmark says in the end: each figure beside its bar, and whether it holds.

A bar is one of `>=`, `<=` or `==` and a number; a figure without one is told for its own sake.
"""

import json
import math
import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent.parent / "results"
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `bar` is None, or a comparison and a number."""

    name: str
    value: float | str
    unit: str = ""
    bar: tuple[str, float] | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`holds` or `MISSED`; nothing where there is no bar."""
        if self.bar is None:
            return ""
        sign, limit = self.bar
        measured = isinstance(self.value, (int, float))
        return "holds" if measured and _COMPARE[sign](float(self.value), limit) else "MISSED"


def publish(name: str, title: str, figures: Sequence[Figure], **more: object) -> bool:
    """Print the table and write bench/results/<name>.json; whether every bar holds.

    `more` goes into the file beside the figures: the sizes, the rounds, the spread.
    """
    rows = [asdict(figure) | {"verdict": figure.verdict} for figure in figures]
    document = {"title": title, "figures": rows, **more}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    show(title, rows)
    return all(figure.verdict != "MISSED" for figure in figures)


def show(title: str, rows: Sequence[dict[str, object]]) -> None:
    """Print figures as they are in a results file."""
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "value", "unit", "bar", "verdict", "note"):
        table.add_column(heading, justify="right" if heading == "value" else "left")
    for row in rows:
        bar, value = row["bar"], row["value"]
        shown = f"{value:,.6g}" if isinstance(value, (int, float)) else str(value)
        limit = " ".join(map(str, bar)) if isinstance(bar, (list, tuple)) else ""
        verdict = str(row["verdict"])
        style = {"holds": "green", "MISSED": "bold red"}.get(verdict, "")
        cells = (str(row["name"]), shown, str(row["unit"]), limit, verdict, str(row["note"]))
        table.add_row(*cells, style=style)
    Console(width=150).print(table)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over the rounds of ours / theirs: what slows a round slows both.

    NaN, which misses every bar, when there is no round in which theirs could be measured.
    """
    ratios = [a / b for a, b in zip(ours, theirs, strict=True) if b]
    return statistics.median(ratios) if ratios else math.nan


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
