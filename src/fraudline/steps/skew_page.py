"""What differs between stream and offline features, as one HTML page that opens offline."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fraudline.model.page import page, percent, sheet, tile_row


def skew_page(document: Mapping[str, Any]) -> str:
    """The page of a ``skew.json``."""
    found = document["features"]
    title = "Skew" if found else "No skew"
    sections = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{document["rows"]:,} decisions of the model <code>{document["model"]["version"]}</code>, '
        "their features beside those of the same transactions offline, bit for bit.</p>",
        tile_row(
            [
                (f"{document['differing']:,}", "decisions differ", ""),
                (str(len(found)), "features differ", ""),
                (f"{document['unknown']:,}", "decisions of unknown transactions", "not compared"),
            ]
        ),
    ]
    if document["note"]:
        sections.append(f"<p>{escape(document['note'])}</p>")
    if found:
        titles = [
            "feature",
            "rows",
            "of those after",
            "first transaction",
            "its time",
            "logged",
            "offline",
            "at most",
            "",
        ]
        sections += ["<h2>Features, the first to differ first</h2>", sheet(titles, map(_row, found))]
    return page(title, sections)


def _row(each: Mapping[str, Any]) -> str:
    first = each["first"]
    return (
        f"<tr><td>{escape(each['feature'])}</td><td>{each['rows']:,}</td><td>{percent(each['onwards'], 0)}</td>"
        f"<td>{escape(first['transaction_id'])}</td><td>{escape(first['event_time'])}</td><td>{each['logged']:.6g}</td>"
        f"<td>{each['offline']:.6g}</td><td>{each['largest']:.4g}</td><td>{escape(each['hint'])}</td></tr>"
    )
