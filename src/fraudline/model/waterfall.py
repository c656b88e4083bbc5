"""A score as the sum of its features' shares: a waterfall as inline SVG."""

from collections.abc import Sequence
from html import escape

_WIDTH, _RIGHT = 720, 64
_ROW = 26
_LETTER = 7.4
"""Units that a letter of a name takes at most, on the average."""


def waterfall(parts: Sequence[tuple[str, float]], marks: Sequence[tuple[str, float]]) -> str:
    """Bars that begin where the one before ended; the last is their sum.

    Args:
        parts: name and contribution of each part, in the order of the drawing; a negative one goes to the left.
        marks: name and place of the upright lines (thresholds).
    """
    ends = [0.0]
    for _, value in parts:
        ends.append(ends[-1] + value)
    low, high = min([*ends, 0.0]), max([*ends, *(place for _, place in marks), 1e-6])
    span = (high - low) * 1.04
    height = _ROW * (len(parts) + 1) + 44
    names = 24 + _LETTER * max(len(name) for name, _ in (*parts, ("score", 0.0)))

    def x(value: float) -> float:
        return names + (value - low) / span * (_WIDTH - names - _RIGHT)

    body = [_mark(name, x(place), height) for name, place in marks]
    for row, (name, value) in enumerate(parts):
        body.append(_bar(row, (name, names - 12), x(ends[row]), x(ends[row + 1]), value, "c2" if value >= 0 else "c4"))
    body.append(_bar(len(parts), ("score", names - 12), x(0.0), x(ends[-1]), ends[-1], "c1"))
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="score as the sum of its parts" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(body)}</svg>'
    )


def _bar(row: int, name: tuple[str, float], start: float, end: float, value: float, colour: str) -> str:
    """A row; ``name`` is the text and where it ends."""
    top = 28 + _ROW * row
    left, width = min(start, end), max(abs(end - start), 1.0)
    sign = "" if colour == "c1" else "+" if value >= 0 else "\N{MINUS SIGN}"
    return (
        f'<text class="name" x="{name[1]:.1f}" y="{top + 14}" text-anchor="end">{escape(name[0])}</text>'
        f'<rect class="bar {colour}" x="{left:.1f}" y="{top + 2}" width="{width:.1f}" height="{_ROW - 8}" rx="2"/>'
        f'<text class="value" x="{max(start, end) + 6:.1f}" y="{top + 14}">{sign}{abs(value):.2f}</text>'
    )


def _mark(name: str, x: float, height: int) -> str:
    return (
        f'<line class="grid" x1="{x:.1f}" y1="18" x2="{x:.1f}" y2="{height - 8}" stroke-dasharray="4 3"/>'
        f'<text class="tick" x="{x:.1f}" y="12" text-anchor="middle">{escape(name)}</text>'
    )
