"""The year as one picture: recall by week with renewal and without, and everything that happened. A lone SVG file."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT = 1040, 520
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 20, 92, 392
_SMOOTH = 3
_LANES = {"retrained": 418, "champion": 440, "refused": 462, "rollback": 484}
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
    weeks, days = len(document["recall"]), float(document["days"])
    top: float = max(0.2, *document["recall"], *document["recall_without"])

    def x(day: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * day / days

    def y(recall: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * recall / top

    def curve(values: Sequence[float], kind: str) -> str:
        smooth = [sum(part) / len(part) for i in range(weeks) if (part := values[max(i - _SMOOTH + 1, 0) : i + 1])]
        points = " ".join(f"{x(7 * i + 3.5):.1f},{y(each):.1f}" for i, each in enumerate(smooth))
        return f'<polyline class="{kind}" points="{points}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="Recall by week with renewal and without"><style>{_STYLE}</style>'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="10" fill="#fff"/>'
        f'<text class="head" x="{_LEFT}" y="28">Frauds found among the {document["budget"]:.0%} of each day that score'
        " highest</text>",
        f'<line class="own" x1="{_LEFT + 500}" x2="{_LEFT + 530}" y1="24" y2="24"/>'
        f'<text x="{_LEFT + 538}" y="28">with renewal</text>'
        f'<line class="static" x1="{_LEFT + 660}" x2="{_LEFT + 690}" y1="24" y2="24"/>'
        f'<text x="{_LEFT + 698}" y="28">the first model for ever</text>',
    ]
    step = 0.1 if top <= 0.6 else 0.2
    for number in range(int(top / step + 1e-9) + 1):
        level = y(number * step)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{level + 4:.1f}" text-anchor="end">{number * step:.0%}</text>')
    for day in range(0, int(days), 30):
        parts.append(f'<text x="{x(day):.1f}" y="{_BOTTOM + 14}" text-anchor="middle" opacity=".7">{day}</text>')
    parts += _events(document["events"], x)
    parts += [curve(document["recall_without"], "static"), curve(document["recall"], "own"), "</svg>\n"]
    return "".join(parts)


def _events(events: Sequence[Mapping[str, Any]], x: Any) -> list[str]:
    """Changes of the world as upright lines with their names above; what the loop did in lanes below."""
    parts, level = [], 0
    for event in events:
        at = x(event["day"])
        if event["what"] in ("drift", "poison", "candidate"):
            row, level = 50 + 18 * (level % 2), level + 1
            side = "end" if at > 0.75 * _WIDTH else "start"
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
        parts.append(f'<circle cx="{_LEFT}" cy="{lane}" r="5" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 12}" y="{lane + 4}">{words}</text>')
    return parts
