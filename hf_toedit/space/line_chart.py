"""A small line chart over generations, as inline SVG in the colours of the page. No Gradio."""

from __future__ import annotations

from math import ceil, floor, log10

from hf_toedit.picture.html import escaped

_WIDTH, _HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BASE = 44, 322, 16, 160
_MOST_TICKS = 8


def line_chart(caption: str, words: str, first: int, lines: dict[str, list[float]]) -> str:
    """Draw lines that are distinguished by dashes, marks and their names.

    Args:
        caption: Caption above the picture.
        words: Alternative text.
        first: Generation of the first value of each line.
        lines: Values by name, at most two lines; the first is the main one.
    """
    values = [value for line in lines.values() for value in line]
    ticks = _ticks(min(values), max(values))
    least, most = ticks[0], ticks[-1]
    last = first + max(map(len, lines.values())) - 1

    def x_of(generation: int) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (generation - first) / max(last - first, 1)

    def y_of(value: float) -> float:
        return _BASE - (_BASE - _TOP) * (value - least) / (most - least)

    parts = [f'<line class="te-axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BASE}" y2="{_BASE}"/>']
    for generation in range(first, last + 1, -(-(last - first) // _MOST_TICKS) or 1):
        parts.append(f'<text x="{x_of(generation):.1f}" y="{_BASE + 16}" text-anchor="middle">{generation}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) // 2}" y="{_BASE + 34}" text-anchor="middle">generation</text>')
    digits = max(0, -floor(log10(ticks[1] - ticks[0]) + 1e-9))
    for value in ticks:
        y = y_of(value)
        parts.append(f'<line class="te-grid" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.{digits}f}</text>')
    for number, line in enumerate(lines.values()):
        places = [(x_of(first + index), y_of(value)) for index, value in enumerate(line)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="te-line{number}" points="{points}"/>')
        parts += [_mark(number, x, y) for x, y in places]
    keys = "".join(_key(number, name) for number, name in enumerate(lines)) if len(lines) > 1 else ""
    label = escaped(f"{caption}. {words}")
    return (
        f'<figure class="te te-curve"><figcaption>{escaped(caption)}<span class="te-keys">{keys}</span></figcaption>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg></figure>'
    )


def _ticks(least: float, most: float) -> list[float]:
    """Return a few round numbers that enclose all values."""
    rough = max(most - least, 0.2) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= rough * (1 - 1e-9))
    last = ceil(most / step - 1e-6)
    first = min(floor(least / step + 1e-6), last - 1)
    return [step * number for number in range(first, last + 1)]


def _key(number: int, name: str) -> str:
    """Return the legend entry of a line."""
    line = f'<line class="te-line{number}" x1="0" x2="28" y1="5" y2="5"/>{_mark(number, 14, 5)}'
    return f'<span class="te-key"><svg viewBox="0 0 28 10" aria-hidden="true">{line}</svg>{escaped(name)}</span>'


def _mark(number: int, x: float, y: float) -> str:
    if number == 0:
        return f'<circle class="te-mark0" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    return f'<rect class="te-mark1" x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7"/>'
