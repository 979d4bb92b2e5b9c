"""Plots as inline SVG: rates by part, and differences with their intervals. Colours are the page's, so both themes fit.

Families differ by shape as well as by colour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from markupsafe import Markup, escape

from gateway.shadow.report.texts import MINUS, percent, points, widest

Row = Mapping[str, Any]

_WIDTH = 400
"""Not more: on a telephone all of it is drawn three quarters as large, and has to stay legible."""
_LABELS = 116
_RIGHT = 64
_STEP = 40
_TOP = 26


def rates_plot(rows: Sequence[Row], first: str, second: str) -> Markup:
    """pass@1 of both families on the pairs of each part, a line a part."""
    scale = _Scale(0.0, 1.0)
    body = [_axis(scale, len(rows), [0, 0.25, 0.5, 0.75, 1.0], _percent_tick)]
    for place, row in enumerate(rows):
        y = _TOP + _STEP * place + _STEP / 2
        body.append(_label(row, y))
        for side, shift in (("first", -8), ("second", 8)):
            if rate := row[f"{side}_pass_at_1"]:
                body.append(_mark(scale, side, rate["value"], widest(rate), y + shift, percent(rate["value"])))
    title = f"pass@1 of {first} and {second} on the same prompts"
    return _svg(title, len(rows), body)


def differences_plot(rows: Sequence[Row], first: str, second: str) -> Markup:
    """First minus second in points of pass@1, a line a part. Coloured where one is shown to be better."""
    most = max((abs(end) for row in rows for end in _ends(row["difference"])), default=0.1)
    reach = min(1.0, max(0.1, ceil(most * 10) / 10))
    scale = _Scale(-reach, reach)
    body = [_axis(scale, len(rows), [-reach, -reach / 2, 0, reach / 2, reach], _point_tick)]
    for place, row in enumerate(rows):
        y = _TOP + _STEP * place + _STEP / 2
        body.append(_label(row, y))
        if difference := row["difference"]:
            value, interval = difference["value"], widest(difference)
            body.append(_mark(scale, _better(interval), value, interval, y, points(value)))
    return _svg(f"{first} minus {second}, in points of pass@1", len(rows), body)


def _percent_tick(share: float) -> str:
    return f"{share:.0%}"


def _point_tick(difference: float) -> str:
    return f"{100 * difference:+.0f}".replace("-", MINUS) if difference else "0"


class _Scale:
    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def x(self, value: float) -> float:
        share = (min(max(value, self._low), self._high) - self._low) / (self._high - self._low)
        return round(_LABELS + share * (_WIDTH - _LABELS - _RIGHT), 1)


def _ends(difference: Row | None) -> Iterator[float]:
    if difference:
        ends = difference["value"], widest(difference)["low"], widest(difference)["high"]
        yield from (end for end in ends if end is not None)


def _better(interval: Row) -> str:
    """Which family is shown to be: neither, where the interval has zero in it."""
    low, high = interval["low"], interval["high"]
    if low is None or low <= 0 <= high:
        return "even"
    return "first" if low > 0 else "second"


def _svg(title: str, rows: int, body: Sequence[Markup]) -> Markup:
    height = _TOP + _STEP * rows + 8
    head = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(_WIDTH, height, title)
    return head + Markup("").join(body) + Markup("</svg>")


def _axis(scale: _Scale, rows: int, ticks: Sequence[float], text: Any) -> Markup:
    bottom = _TOP + _STEP * rows
    lines = [
        Markup('<line class="{}" x1="{}" x2="{}" y1="{}" y2="{}"/><text class="tick" x="{}" y="{}">{}</text>').format(
            "zero" if tick == 0 else "grid", x, x, _TOP, bottom, x, _TOP - 10, text(tick)
        )
        for tick, x in ((tick, scale.x(tick)) for tick in ticks)
    ]
    return Markup("").join(lines)


def _label(row: Row, y: float) -> Markup:
    name, x = row["part"].replace("_", " ").removesuffix(" tokens"), _LABELS - 14
    return Markup(
        '<text class="part" x="{}" y="{}">{}</text><text class="count" x="{}" y="{}">{:,} pairs</text>'
    ).format(x, y - 1, name, x, y + 12, row["pairs"])


def _mark(scale: _Scale, side: str, value: float, interval: Row, y: float, text: str) -> Markup:
    x, end = scale.x(value), scale.x(value)
    parts = []
    if interval["low"] is not None:
        low, end = scale.x(interval["low"]), scale.x(interval["high"])
        line = '<line class="whisker {}" x1="{}" x2="{}" y1="{}" y2="{}"/>'
        parts.append(Markup(line).format(side, low, end, y, y))
    if side == "first":
        parts.append(Markup('<circle class="mark first" cx="{}" cy="{}" r="5"/>').format(x, y))
    else:
        square = '<rect class="mark {}" x="{}" y="{}" width="9" height="9"/>'
        parts.append(Markup(square).format(side, x - 4.5, y - 4.5))
    label = '<text class="value {}" x="{}" y="{}" data-value="{}">{}</text>'
    parts.append(Markup(label).format(side, max(x + 5, end) + 6, y + 4, repr(value), escape(text)))
    return Markup("").join(parts)
