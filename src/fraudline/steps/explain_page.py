"""One explained score as an HTML page for a reviewer: decision, reasons, waterfall, every feature, the card's past."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fraudline.core.words import told
from fraudline.data.money import money
from fraudline.model.page import figure, page, percent, sheet, tile_row
from fraudline.model.waterfall import waterfall

_BARS = 12


def explain_page(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: what step ``explain`` returns.

    Returns:
        A complete HTML document.
    """
    name = str(document["transaction"].get("transaction_id", ""))
    sections = [
        f"<h1>Transaction <code>{escape(name)}</code>: {escape(document['decision'])}</h1>",
        _lead(document),
        *explained(document),
    ]
    return page(f"{document['decision']} {name}", sections)


def explained(document: Mapping[str, Any]) -> list[str]:
    """The sections of an explained score: figures, reasons, waterfall, every feature, the card's past."""
    return [
        tile_row(_tiles(document)),
        "<h2>Reasons</h2><ol>",
        *(f"<li>{escape(text)}</li>" for text in document["reasons"]),
        "</ol>" if document["reasons"] else "</ol><p>No feature speaks against it.</p>",
        "<h2>What the score is made of</h2>",
        figure("Contribution of each feature; they sum to the score", _plot(document)),
        "<h2>Every feature</h2>",
        _features(document),
        _history(document),
        _notes(document),
    ]


def parts_of(document: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The largest contributions by size, largest first, and the sum of the others."""
    ranked = sorted(document["features"], key=lambda entry: -abs(entry["contribution"]))
    shown = sorted(ranked[:_BARS], key=lambda entry: -entry["contribution"])
    parts = [(_label(entry), entry["contribution"]) for entry in shown]
    others = sum(entry["contribution"] for entry in ranked[_BARS:])
    return [*parts, (f"{len(ranked) - _BARS} other features", others)] if len(ranked) > _BARS else parts


def _lead(document: Mapping[str, Any]) -> str:
    fields = {key: value for key, value in document["transaction"].items() if key != "transaction_id"}
    if "amount_minor" in fields and "currency" in fields:
        fields["amount"] = money(fields.pop("amount_minor"), fields.pop("currency"))
    words = " · ".join(f"{escape(key.replace('_', ' '))} {escape(told(value))}" for key, value in fields.items())
    label = document["label"]
    known = "" if label is None else f" Labelled {'fraud' if label['is_fraud'] else 'normal'} at {label['label_time']}."
    return f'<p class="soft">{words}.{escape(known)}</p>'


def _tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    held, rank = document["thresholds"], document["rank"]
    tiles = [
        (f"{document['score']:.2f}", "score", document["decision"]),
        (f"{held['review']:.2f}", "reviewed from", f"thresholds {held['version']}"),
        (f"{held['block']:.2f}", "blocked from", f"policy {held['policy'].get('name', '')}"),
    ]
    if rank is not None:
        tiles.append((percent(rank, 2), "of validation scores lie below", f"model {document['model_version']}"))
    return tiles


def _plot(document: Mapping[str, Any]) -> str:
    held = document["thresholds"]
    reach = 2 * max(document["score"], 1.0)
    marks = [(name, held[name]) for name in ("review", "block") if held[name] <= max(reach, held["review"])]
    return waterfall(parts_of(document), marks)


def _features(document: Mapping[str, Any]) -> str:
    rows = [
        f"<tr><td>{escape(entry['feature'])}<small>{escape(entry['meaning'])}</small></td><td>{escape(entry['said'])}</td>"
        f"<td>{escape(entry['said_expected'])}</td><td>{entry['contribution']:+.3f}</td>"
        f"<td>{percent(entry['share'], 1)}</td></tr>"
        for entry in document["features"]
    ]
    return sheet(["feature", "value", "expected", "contribution", "share"], rows)


def _history(document: Mapping[str, Any]) -> str:
    if not document["history"]:
        return ""
    rows = [
        f"<tr><td>{escape(row['event_time'])}</td><td>{escape(money(row['amount_minor'], row['currency']))}</td>"
        f"<td>{escape(row['merchant_id'])}</td><td>{escape(row['channel'])}</td>"
        f"<td>{escape(row.get('country', '–'))}</td>"
        f"<td>{row['score']:.2f}</td><td>{escape(row['decision'])}</td></tr>"
        for row in reversed(document["history"])
    ]
    titles = ["time", "amount", "merchant", "channel", "country", "score", "decision"]
    return "<h2>What the card did before</h2>" + sheet(titles, rows)


def _notes(document: Mapping[str, Any]) -> str:
    recorded = document["recorded_score"]
    compared = "" if recorded is None else f" The score on its decision was {recorded:.6g}."
    return (
        f'<p class="soft"><br>Contributions come from the model\'s own graph and sum to '
        f"{document['sum_of_contributions']:.6f}; the score is {document['score']:.6f}. A negative one speaks for the "
        f"transaction. Expected is {escape(document['expected_is'])}, in the feature's unit.{escape(compared)}</p>"
    )


def _label(entry: Mapping[str, Any]) -> str:
    return f"{entry['feature'].replace('_', ' ')} = {entry['said']}"
