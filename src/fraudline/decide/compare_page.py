"""The comparison of two thresholds as one HTML page."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fraudline.core.words import counted
from fraudline.data import money
from fraudline.model.bootstrap import too_few
from fraudline.model.evaluation_charts import Line, line_chart
from fraudline.model.figure_words import priced, resampled
from fraudline.model.page import figure, page, percent, sheet, tile_row

_MONEY = ("money_saved",)
_SHARES = ("precision", "recall", "f1", "money_saved_share")
TITLES = {
    "alerts": "alerts",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "money_saved": "saved, net",
    "money_saved_share": "share of fraud losses saved, net",
    "blocks": "blocked",
    "blocked_normals": "normals blocked",
}


def compare_page(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: what :func:`fraudline.decide.compare.compare` gave, with ``names`` of both sides.

    Returns:
        A complete HTML document.
    """
    names = document["names"]
    sections = [
        f"<h1>{escape(names['a'])} against {escape(names['b'])}</h1>",
        *compared(document),
    ]
    return page(f"{names['a']} against {names['b']}", sections)


def compared(document: Mapping[str, Any]) -> list[str]:
    """The sections of a comparison: figures, table, what changed, curves."""
    curve = "curve" in document
    return [
        _lead(document),
        tile_row(_tiles(document)),
        "<h2>Side by side</h2>",
        _table(document),
        "<h2>What only one of them alerts</h2>",
        _changed(document),
        '<h2>Curves</h2><div class="plots">',
        figure("Money saved, net of reviews, by review threshold", _money(document)) if curve else "",
        figure("Alerts a day", _daily(document)),
        "</div>",
        _notes(document),
    ]


def shown(name: str, value: float | None, currency: str, *, signed: bool = False) -> str:
    """A figure in the unit that people read it in; money is in minor units of a currency."""
    if value is None:
        return "–"
    sign = "+" if signed else ""
    if name in _MONEY:
        return money.rounded(value, currency, signed=signed)
    return f"{value:{sign}.3f}" if name in _SHARES else f"{value:{sign},.0f}"


def between(low: str, high: str) -> str:
    """An interval of two figures as :func:`shown` gives them."""
    return "no interval" if "–" in (low, high) else f"{low} to {high}"


def title_of(name: str, currency: str) -> str:
    """What a figure is, with the currency of money."""
    return money.titled(TITLES[name], currency) if name in _MONEY else TITLES[name]


def _lead(document: Mapping[str, Any]) -> str:
    period, chosen = document["period"], document.get("chosen_on")
    words = f"Policies were chosen on the {counted(chosen['days'], 'days')} before. " if chosen else ""
    return (
        f'<p class="soft">{counted(document["rows"], "decisions")} of {counted(document["cards"], "cards")} '
        f"on {counted(document['days'], 'days')}, {escape(period['first'])} to {escape(period['last'])}; "
        f"{document['known']:,} have a known label, "
        f"{document['frauds']:,} of them frauds. {words}Both sides are measured on the same rows."
        f"{too_few(document)}</p>"
    )


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    names, currency = document["names"], document["currency"]
    tiles = []
    for name in ("money_saved", "alerts", "recall", "precision"):
        entry = document["difference"][name]
        gap, low, high = (shown(name, each, currency, signed=True) for each in (entry["value"], *entry["interval"]))
        tiles.append((gap, f"{title_of(name, currency)}: {names['b']} more", between(low, high)))
    return tiles


def _table(document: Mapping[str, Any]) -> str:
    names, a, b, currency = (document[part] for part in ("names", "a", "b", "currency"))
    reviews = [f"{side['thresholds']['review']:.4g}" if "thresholds" in side else "–" for side in (a, b)]
    cells = "".join(f"<td>{each}</td>" for each in reviews)
    rows = [f"<tr><td>review from</td>{cells}<td></td><td></td></tr>"] if set(reviews) != {"–"} else []
    for name in TITLES:
        entry = document["difference"][name]
        gap, low, high = (shown(name, each, currency, signed=True) for each in (entry["value"], *entry["interval"]))
        sides = "".join(f"<td>{shown(name, side[name], currency)}</td>" for side in (a, b))
        better = "–" if entry["b_better"] is None else percent(entry["b_better"], 0)
        rows.append(
            f"<tr{' class=main' if name == 'money_saved' else ''}><td>{escape(title_of(name, currency))}</td>{sides}"
            f"<td>{gap}<small>{between(low, high)}</small></td><td>{better}</td></tr>"
        )
    return sheet(["", names["a"], names["b"], "difference", f"resamples in which {names['b']} is better"], rows)


def _changed(document: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td>only {escape(document['names'][side])}</td><td>{part['alerts']:,}</td><td>{part['frauds']:,}</td>"
        f"<td>{money.rounded(part['fraud_amount'], document['currency'])}</td><td>{part['unknown']:,}</td></tr>"
        for side, part in (("a", document["changed"]["only_a"]), ("b", document["changed"]["only_b"]))
    ]
    amount = money.titled("their amount", document["currency"])
    return sheet(["", "alerts", "frauds among them", amount, "label unknown"], rows)


def _money(document: Mapping[str, Any]) -> str:
    x = document["curve"]["threshold"]
    if len(x) < 2 or x[0] == x[-1]:
        return "<p>No label is known.</p>"
    y = [money.in_units(value, document["currency"]) for value in document["curve"]["money_saved"]]
    low, high = min(*y, 0.0), max(*y, 1.0)
    marks = [(document[side]["thresholds"]["review"], document["names"][side], colour) for side, colour in _SIDES]
    return line_chart(
        [Line("saved, net", x, y, "c3")],
        x_label="review threshold",
        y_label=title_of("money_saved", document["currency"]),
        legend="",
        x_range=(x[0], x[-1]),
        y_range=(low, high * 1.08),
        marks=marks,
    )


def _daily(document: Mapping[str, Any]) -> str:
    daily = document["daily"]
    top = max([row[side] for row in daily for side, _ in _SIDES] + [1])
    x = list(range(len(daily)))
    lines = [Line(document["names"][side], x, [row[side] for row in daily], colour) for side, colour in _SIDES]
    return line_chart(
        lines,
        x_label=f"days from {daily[0]['day']}",
        y_label="alerts",
        legend="right-top",
        x_range=(0.0, float(max(len(daily) - 1, 1))),
        y_range=(0.0, top * 1.25),
    )


def _notes(document: Mapping[str, Any]) -> str:
    return (
        f'<p class="soft"><br>{resampled(document["bootstrap"])}, the same for both sides. '
        f"{priced(document['cost'], document['currency'])} Where the interval of the money "
        "holds 0, neither side is shown to be worth more, whatever its recall.</p>"
    )


_SIDES = (("a", "c1"), ("b", "c2"))
