"""A line chart as an SVG file: points, two axes with round numbers, a title. Nothing else."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 50
_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700")
_TICKS = 5

Points = Sequence[tuple[float, float]]


def line_chart(
    file: Path, title: str, axes: tuple[str, str], series: Mapping[str, Points], *, log_x: bool
) -> None:
    """Write `series` (name: points, x ascending) to `file`; y begins at zero."""
    xs = [_x(x, log_x) for points in series.values() for x, _ in points]
    low, high = min(xs), max(xs)
    top = _ceiling(max(y for points in series.values() for _, y in points))

    def across(x: float) -> float:
        share = (_x(x, log_x) - low) / ((high - low) or 1)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def up(y: float) -> float:
        return _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    first = next(iter(series.values()))
    parts = [_text(_LEFT, 22, title, "start", 15)]
    for number in range(_TICKS + 1):
        y = top * number / _TICKS
        parts.append(_line(_LEFT, up(y), _WIDTH - _RIGHT, up(y), "#d0d7de"))
        parts.append(_text(_LEFT - 8, up(y) + 4, f"{y:g}", "end", 11))
    parts += [_text(across(x), _HEIGHT - _BOTTOM + 18, f"{x:g}", "middle", 11) for x, _ in first]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, _HEIGHT - 10, axes[0], "middle", 12))
    parts.append(_text(_LEFT - 60, _TOP - 6, axes[1], "start", 12))
    for number, (name, points) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}"/>'
            for x, y in points
        ]
        x, y = points[-1]
        parts.append(_text(across(x) + 8, up(y) + 4, name, "start", 11, colour))
    body = "\n".join(parts)
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    file.parent.mkdir(exist_ok=True)
    file.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _x(value: float, log_x: bool) -> float:
    return math.log10(max(value, 1e-9)) if log_x else value


def _ceiling(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value or 1))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value)


def _text(x: float, y: float, words: str, anchor: str, size: int, colour: str = "#24292f") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"'
    return f'<text {place} fill="{colour}">{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}"/>'
