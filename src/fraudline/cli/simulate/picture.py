"""The year as one picture: recall with renewal and without, means of three weeks, and what happened. A lone SVG."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 1120, 540
_LEFT, _RIGHT, _TOP, _BOTTOM = 236, 24, 132, 410
_SMOOTH = 3
_LANES = {"retrained": 446, "champion": 468, "refused": 490, "rollback": 512}
_WORDS = {
    "retrained": ("trained, gated and proposed", "#1463d8"),
    "champion": ("champion after a canary", "#0b8a5f"),
    "refused": ("refused before or by the gate", "#c92a2a"),
    "rollback": ("canary taken back", "#d9480f"),
}
_STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#5d6b7c}"
    ".ink{fill:#1c2430}.head{font-size:17px;font-weight:600;fill:#1c2430}.grid{stroke:#dfe5ec}"
    ".own{fill:none;stroke:#1463d8;stroke-width:2.5}.static{fill:none;stroke:#7c8ea3;stroke-width:2;"
    "stroke-dasharray:6 4}.change{stroke:#d9480f;stroke-width:1.2;stroke-dasharray:2 3}"
)


def draw(document: Mapping[str, Any]) -> str:
    """The picture of a year.

    Args:
        document: ``year.json``.
    """
    days = float(document["days"])
    own, static = (_smooth(document[name]) for name in ("recall", "recall_without"))
    top = min(1.0, (int(10 * max(*own, *static)) + 1) / 10)
    low = max(0.0, (int(10 * min(*own, *static)) - 1) / 10)

    def x(day: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * day / days

    def y(recall: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * (recall - low) / (top - low)

    def curve(values: Sequence[float], kind: str) -> str:
        points = " ".join(f"{x(7 * i + 3.5):.1f},{y(each):.1f}" for i, each in enumerate(values))
        return f'<polyline class="{kind}" points="{points}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Recall by week with renewal and without"><style>{_STYLE}</style>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="10" fill="#fff"/>'
        f'<text class="head" x="24" y="30">Frauds found among the {document["budget"]:.0%} of each day that score'
        " highest</text>",
        '<line class="own" x1="700" x2="730" y1="25" y2="25"/>'
        '<text x="738" y="29">with renewal</text>'
        '<line class="static" x1="846" x2="876" y1="25" y2="25"/>'
        '<text x="884" y="29">the first model for ever</text>',
    ]
    for tenth in range(round(10 * low), round(10 * top) + 1):
        level = y(tenth / 10)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{level + 4:.1f}" text-anchor="end">{tenth * 10}%</text>')
    for day in range(0, int(days), 30):
        parts.append(f'<text x="{x(day):.1f}" y="{_BOTTOM + 16}" text-anchor="middle" opacity=".7">{day}</text>')
    parts += _events(document["events"], x)
    parts += [curve(static, "static"), curve(own, "own"), "</svg>\n"]
    return "".join(parts)


def _smooth(values: Sequence[float]) -> list[float]:
    """Means of a week and the two before it, of whole weeks."""
    parts = [values[max(end - _SMOOTH, 0) : end] for end in range(1, len(values) + 1)]
    return [sum(part) / len(part) for part in parts]


def _events(events: Sequence[Mapping[str, Any]], x: Any) -> list[str]:
    """Changes of the world as upright lines with their names above; what the loop did in lanes below."""
    parts, level = [], 0
    for event in events:
        at = x(event["day"])
        if event["what"] in ("drift", "poison", "candidate"):
            row, level = 62 + 20 * (level % 3), level + 1
            side = "end" if at > 0.7 * _WIDTH else "start"
            parts.append(f'<line class="change" x1="{at:.1f}" x2="{at:.1f}" y1="{row + 4}" y2="{_BOTTOM}"/>')
            parts.append(
                f'<text class="ink" x="{at:.1f}" y="{row}" text-anchor="{side}">{escape(event["text"])}</text>'
            )
        else:
            colour = _WORDS[event["what"]][1]
            parts.append(
                f'<circle cx="{at:.1f}" cy="{_LANES[event["what"]]}" r="5" fill="{colour}">'
                f"<title>day {event['day']}: {escape(event['text'])}</title></circle>"
            )
    for what, (words, colour) in _WORDS.items():
        lane = _LANES[what]
        parts.append(f'<circle cx="30" cy="{lane}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="42" y="{lane + 4}">{words}</text>')
    return parts
