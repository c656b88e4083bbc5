"""One alert's whole story: the transaction, why it was alerted, what was done, and where the decision comes from."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from fraudline.cli.demo.tally import Tally
from fraudline.core.files import write_text
from fraudline.model.page import sheet
from fraudline.steps.audit import show
from fraudline.steps.audit_page import audit_page, lines
from fraudline.steps.params import Params
from fraudline.stream.messages import Decision

_SHOWN = 12


def alert_story(folder: Path, tally: Tally, transactions: pa.Table, champion: Path, params: Params) -> Path | None:
    """Write the page of the champion's surest alert on a fraud; None when it alerted none.

    Args:
        folder: of the demo: gets ``alert.jsonl``, the decision, and ``alert.html``.
        tally: the decisions.
        transactions: what was streamed.
        champion: its artifact in the store.
        params: of the audit.
    """
    alert = surest(tally, champion.name[:12])
    if alert is None:
        return None
    decision, page = folder / "alert.jsonl", folder / "alert.html"
    write_text(decision, msgspec.json.encode(alert).decode() + "\n")
    document = show(transaction_id=alert.transaction_id, params=params, store=champion.parent, source=decision)
    card = transactions.filter(pc.equal(transactions["card_id"], alert.card_id)).to_pylist()
    mine = next(row for row in card if row["transaction_id"] == alert.transaction_id)
    write_text(page, audit_page(document, before=_transaction(mine), after=_card(card, mine, tally)))
    return page


def surest(tally: Tally, version: str) -> Decision | None:
    """The alert with the highest score that a model gave to a fraud, a blocked one before a reviewed one."""
    found = [
        alert for alert in tally.alerted() if alert.model_version == version and alert.transaction_id in tally.truth
    ]
    return max(found, key=lambda alert: (alert.decision == "block", alert.score), default=None)


def _transaction(row: Mapping[str, Any]) -> list[str]:
    shown = {name: str(value) for name, value in row.items() if value is not None}
    facts = [f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in lines(shown)]
    return ["<h2>The transaction</h2>", sheet(["", ""], facts)]


def _card(card: list[dict[str, Any]], mine: Mapping[str, Any], tally: Tally) -> list[str]:
    """The card in this stream, around the alert, with what each became and what it was in truth."""
    at = next(n for n, row in enumerate(card) if row["transaction_id"] == mine["transaction_id"])
    begin = max(0, at - _SHOWN // 3)
    rows = [
        f"<tr{' class=main' if row is card[at] else ''}><td>{row['event_time']:%m-%d %H:%M:%S}</td>"
        f"<td>{row['amount_minor'] / 100:,.2f} {escape(row['currency'])}</td><td>{escape(row['merchant_id'])}</td>"
        f"<td>{escape(tally.decision_on(row['transaction_id']))}</td>"
        f"<td>{escape(tally.truth.get(row['transaction_id'], 'normal'))}</td></tr>"
        for row in card[begin : begin + _SHOWN]
    ]
    titles = ["time", "amount", "merchant", "decided", "in truth"]
    return ["<h2>What the card did around it, and what was done</h2>", sheet(titles, rows)]
