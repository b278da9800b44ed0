"""The operators' page as HTML: what runs, and how far each stage is behind."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ops.report import is_number, text

REFRESH_S = 5
MARK = "well"
"""Of a process: whether it is as it should be. It colours the row and has no column."""
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="{refresh}">
<title>photofeed: operations</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #1c1c1c; background: #fff; }}
table {{ border-collapse: collapse; width: 100%; margin-bottom: 2rem; }}
caption {{ text-align: left; font-size: 1.2rem; font-weight: 600; padding: .5rem 0; }}
th, td {{ text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #ddd; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
tr.bad td {{ background: #fde8e8; }}
</style>
<body>
<h1>photofeed</h1>
<p>{note} Numbers for machines: <a href="/metrics">/metrics</a>.</p>
{tables}
</body>
</html>
"""


def page(
    roles: Sequence[Mapping[str, Any]], groups: Sequence[Mapping[str, Any]] | None, note: str
) -> str:
    """The whole page. `groups` are `photofeed lag`'s, None before Kafka first answered."""
    tables = [_table("Processes", roles, bad=lambda row: not row[MARK])]
    if groups is not None:
        tables.append(_table("Consumer groups", groups, bad=lambda row: row["state"] != "OK"))
    return _PAGE.format(refresh=REFRESH_S, note=escape(note), tables="\n".join(tables))


def _table(caption: str, rows: Sequence[Mapping[str, Any]], bad: Any) -> str:  # noqa: ANN401 - a predicate
    names = [name for name in (rows[0] if rows else ()) if name != MARK]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    body = "\n".join(
        f"<tr{' class=bad' if bad(row) else ''}>{_cells(row[name] for name in names)}</tr>"
        for row in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead>\n"
        f"<tbody>{body}</tbody></table>"
    )


def _cells(values: Iterable[Any]) -> str:
    return "".join(
        f"<td{' class=number' if is_number(value) else ''}>{escape(text(value))}</td>"
        for value in values
    )
