"""How operators' verbs answer: one JSON object, or the same as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.table import Table

from domain import post_json
from ops.output import print_json

PIPE_COLUMNS = 200
Row = Mapping[str, Any]


def show(document: dict[str, Any], as_json: bool, *lists: str) -> None:
    """Print `document`; without `--json` each named list as a table, the rest as lines."""
    if as_json:
        print_json(document)
        return
    out = console()
    for name in lists:
        out.print(table(name, document[name]) if document[name] else f"{name}: none")
    for name, value in document.items():
        if name not in lists:
            out.print(f"{name}: {text(value)}", soft_wrap=True)


def console() -> Console:
    """Where tables go; wide when it is no terminal, so that a pipe gets whole rows."""
    wide = Console(highlight=False, markup=False)
    return wide if wide.is_terminal else Console(highlight=False, markup=False, width=PIPE_COLUMNS)


def table(title: str, rows: Sequence[Row]) -> Table:
    """Rows as a table; the first row's keys are the columns."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in rows[0]:
        justify: JustifyMethod = "right" if is_number(rows[0][name]) else "left"
        made.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        made.add_row(*(text(value) for value in row.values()))
    return made


def is_number(value: object) -> bool:
    """Whether a cell is set to the right; True and False are words."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def text(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """One cell: nothing for None, words for truth, `name=value` pairs for an object."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={text(part)}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def rfc3339(at_ms: int) -> str | None:
    """A time as text, None for 0."""
    return post_json.rfc3339(at_ms) if at_ms else None
