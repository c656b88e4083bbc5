"""Plots as inline SVG: no library, no script, colours from the page's CSS variables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 14, 14, 44
_LETTER = 8
"""Width of a letter of a mark's text, at most."""


@dataclass(frozen=True)
class Line:
    """One curve: its legend, its points and its colour (a CSS class ``c1`` ... ``c4``)."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: str
    dashed: bool = False


def line_chart(
    lines: Iterable[Line],
    *,
    x_label: str,
    y_label: str,
    legend: str = "right-bottom",
    x_range: tuple[float, float] = (0.0, 1.0),
    y_range: tuple[float, float] = (0.0, 1.0),
    marks: Iterable[tuple[float, str, str]] = (),
) -> str:
    """Curves, over the unit square by default.

    Args:
        lines: the curves.
        x_label: what is along.
        y_label: what is up.
        legend: ``right-bottom``, ``right-top`` or empty for none.
        x_range: lowest and highest x, different.
        y_range: lowest and highest y, different.
        marks: upright lines: x, text and colour.
    """
    drawn = list(lines)
    frame = _Frame(x_range, y_range)
    body = [frame.axes(x_label, y_label)]
    for line in drawn:
        points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in zip(line.x, line.y, strict=True))
        dash = " dashed" if line.dashed else ""
        body.append(f'<polyline class="curve {line.colour}{dash}" points="{points}"/>')
        if len(line.x) == 1:  # a line of one point is not seen
            body.append(
                f'<circle class="dot {line.colour}" cx="{frame.x(line.x[0]):.1f}" cy="{frame.y(line.y[0]):.1f}" r="5"/>'
            )
    for number, (x, text, colour) in enumerate(marks):
        at = min(max(frame.x(x), _LEFT), _WIDTH - _RIGHT)
        body.append(
            f'<line class="whisker {colour}" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_HEIGHT - _BOTTOM}"/>'
        )
        beside, anchor = (at + 5, "start") if at + 5 + _LETTER * len(text) < _WIDTH else (at - 5, "end")
        body.append(
            f'<text class="value" x="{beside:.1f}" y="{_TOP + 12 + 15 * number}" text-anchor="{anchor}">'
            f"{escape(text)}</text>"
        )
    if legend:
        body.append(_legend([(line.name, line.colour) for line in drawn], legend))
    return _svg(body, f"{y_label} over {x_label}")


def histogram(centres: Sequence[float], shares: dict[str, tuple[Sequence[float], str]], *, x_label: str) -> str:
    """Overlaid bars of shares, each scaled to its own sum; ``shares`` maps a name to values and colour."""
    step = centres[1] - centres[0]
    top = max(max(values) for values, _ in shares.values()) or 1.0
    frame = _Frame((centres[0] - step / 2, centres[-1] + step / 2), (0.0, top * 1.05))
    body = [frame.axes(x_label, "share of its class")]
    for values, colour in shares.values():
        for centre, value in zip(centres, values, strict=True):
            if value <= 0:
                continue
            left, right = frame.x(centre - step / 2), frame.x(centre + step / 2)
            y = frame.y(value)
            body.append(
                f'<rect class="bar {colour}" x="{left:.1f}" y="{y:.1f}" width="{right - left:.1f}" '
                f'height="{frame.y(0) - y:.1f}"/>'
            )
    body.append(_legend([(name, colour) for name, (_, colour) in shares.items()], "right-top"))
    return _svg(body, f"histogram of {x_label}")


def interval_chart(
    rows: Sequence[tuple[str, float, float | None, float | None, str]], *, x_label: str, least: float = 0.0
) -> str:
    """A dot with its interval for each row: name, figure, low, high (None without an interval), colour.

    The axis begins at ``least``, or at 0 where a row lies below it.
    """
    height = 34 * len(rows) + 56
    left, right = 132, _WIDTH - 52
    top = max([figure if high is None else high for _, figure, _, high, _ in rows] + [0.05]) * 1.05
    bottom = least if least <= min(figure if low is None else low for _, figure, low, _, _ in rows) else 0.0
    scale = (right - left) / (top - bottom)
    body = []
    for tick in _ticks(bottom, top):
        x = left + scale * (tick - bottom)
        body.append(f'<line class="grid" x1="{x:.1f}" y1="10" x2="{x:.1f}" y2="{height - 40}"/>')
        body.append(f'<text class="tick" x="{x:.1f}" y="{height - 26}" text-anchor="middle">{tick:g}</text>')
    for number, (name, figure, low, high, colour) in enumerate(rows):
        y = 26 + 34 * number
        ends = (figure if end is None else end for end in (low, high))
        b, a, c = (left + scale * (value - bottom) for value in (figure, *ends))
        body.append(f'<text class="name" x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        body.append(f'<line class="whisker {colour}" x1="{a:.1f}" y1="{y}" x2="{c:.1f}" y2="{y}"/>')
        body.append(f'<circle class="dot {colour}" cx="{b:.1f}" cy="{y}" r="5"/>')
        body.append(f'<text class="value" x="{c + 8:.1f}" y="{y + 4}">{figure:.3f}</text>')
    body.append(
        f'<text class="label" x="{(left + right) / 2:.0f}" y="{height - 6}" text-anchor="middle">{x_label}</text>'
    )
    return _svg(body, x_label, height)


class _Frame:
    """Maps data to the drawing."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self._x, self._y = x, y

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_label: str, y_label: str) -> str:
        parts = []
        for tick in _ticks(*self._x):
            x = self.x(tick)
            parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_HEIGHT - _BOTTOM}"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{tick:g}</text>')
        for tick in _ticks(*self._y):
            y = self.y(tick)
            parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_shown(tick)}</text>')
        middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(
            f'<text class="label" x="{middle_x}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        )
        parts.append(
            f'<text class="label" transform="translate(13 {middle_y}) rotate(-90)" '
            f'text-anchor="middle">{escape(y_label)}</text>'
        )
        return "".join(parts)


def _shown(tick: float) -> str:
    """A tick in at most five letters, so that it leaves room for the axis's name."""
    size, letter = next((each for each in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if abs(tick) >= 10 * each[0]), (1, ""))
    return f"{tick / size:g}{letter}"


def _ticks(low: float, high: float, most: int = 5) -> list[float]:
    span = high - low
    magnitude = 1.0
    while magnitude * 10 <= span:
        magnitude *= 10
    while magnitude > span:
        magnitude /= 10
    step = next((m * magnitude for m in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if span / (m * magnitude) <= most), magnitude)
    first = int(low / step) - 1
    ticks = [round((first + i) * step, 10) for i in range(most + 4)]
    return [tick for tick in ticks if low - 1e-9 <= tick <= high + 1e-9]


def _legend(entries: Sequence[tuple[str, str]], place: str) -> str:
    left = _WIDTH - _RIGHT - max(150, 20 + 7 * max(len(name) for name, _ in entries))
    top = _TOP + 16 if place.endswith("top") else _HEIGHT - _BOTTOM - 18 * len(entries) + 4
    parts = []
    for number, (name, colour) in enumerate(entries):
        y = top + 18 * number
        parts.append(f'<rect class="key {colour}" x="{left}" y="{y - 9}" width="12" height="12" rx="3"/>')
        parts.append(f'<text class="tick" x="{left + 18}" y="{y + 1}">{escape(name)}</text>')
    return "".join(parts)


def _svg(body: Sequence[str], title: str, height: int = _HEIGHT) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )
