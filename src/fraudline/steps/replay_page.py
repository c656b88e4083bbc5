"""A replay as an HTML page: alerts and money then and now, and the transactions that would have gone another way."""

from collections.abc import Mapping
from html import escape
from typing import Any

from fraudline.data.money import money
from fraudline.decide.compare_page import compared
from fraudline.model.page import page, sheet


def replay_page(document: Mapping[str, Any]) -> str:
    """The page.

    Args:
        document: what step ``replay`` returns.

    Returns:
        A complete HTML document.
    """
    window, names = document["window"], document["names"]
    title = f"What if: {names['b']} instead of {names['a']}"
    moved = [
        f"<tr><td>{escape(name)}</td><td>{count:,}</td></tr>"
        for name, count in document["transitions"].items()
        if count
    ]
    sections = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">Transactions of {escape(window["begin"])} to {escape(window["end"])} decided again. '
        f"{document['unmatched']:,} had no decision then and are left out.</p>",
        *compared(document),
        "<h2>What became of each decision</h2>",
        sheet(["then -> now", "transactions"], moved),
        "<h2>The largest amounts that would have gone another way</h2>",
        sheet(["transaction", "then", "now", "amount", "label"], [_example(row) for row in document["examples"]]),
    ]
    return page(title, sections)


def _example(row: Mapping[str, Any]) -> str:
    return (
        f"<tr><td>{escape(row['transaction_id'])}</td>"
        f"<td>{escape(row['before_decision'])} {row['before_score']:.2f}</td>"
        f"<td>{escape(row['decision'])} {row['score']:.2f}</td>"
        f"<td>{escape(money(row['amount_minor'], row['currency']))}</td><td>{escape(row['label'])}</td></tr>"
    )
