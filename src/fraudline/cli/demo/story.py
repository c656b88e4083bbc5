"""One alert's whole story: the transaction, why it was alerted, what was done, and where the decision comes from."""

from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from fraudline.cli.demo.tally import Tally
from fraudline.core.clock import DAY_US, from_us, now_us
from fraudline.core.files import write_text
from fraudline.data.money import money
from fraudline.model.page import facts, sheet
from fraudline.steps.audit import show
from fraudline.steps.audit_page import audit_page, lines
from fraudline.steps.params import Params
from fraudline.stream.card_topic import actions, block_cards, listed
from fraudline.stream.messages import Decision
from fraudline.stream.params import StreamParams
from fraudline.stream.topics import ensure_topics

_SHOWN = 12


def alert_story(
    folder: Path,
    tally: Tally,
    transactions: pa.Table,
    champion: Path,
    params: Params,
    stream: StreamParams | None = None,
) -> Path | None:
    """Block the card of the champion's surest alert on a fraud, and write the page; None when it alerted none.

    Args:
        folder: of the demo: gets ``alert.jsonl``, the decision, and ``alert.html``.
        tally: the decisions.
        transactions: what was streamed, or the first part of it: the alert is one of these.
        champion: its artifact in the store.
        params: of the audit.
        stream: a running broker, to block the card at; None where the broker cannot (the mock).
    """
    alert = surest(tally, champion.name[:12], set(transactions["transaction_id"].to_pylist()))
    if alert is None:
        return None
    decision, page = folder / "alert.jsonl", folder / "alert.html"
    write_text(decision, msgspec.json.encode(alert).decode() + "\n")
    document = show(transaction_id=alert.transaction_id, params=params, store=champion.parent, source=decision)
    card = transactions.filter(pc.equal(transactions["card_id"], alert.card_id)).to_pylist()
    mine = next(row for row in card if row["transaction_id"] == alert.transaction_id)
    blocked = _blocked(stream, alert) if stream is not None else []
    write_text(page, audit_page(document, before=_transaction(mine), after=[*blocked, *_card(card, mine, tally)]))
    return page


def surest(tally: Tally, version: str, among: Collection[str]) -> Decision | None:
    """The alert with the highest score that a model gave to a fraud, a blocked one before a reviewed one."""
    frauds = tally.truth.keys() & among
    found = [alert for alert in tally.alerted() if alert.model_version == version and alert.transaction_id in frauds]
    return max(found, key=lambda alert: (alert.decision == "block", alert.score), default=None)


def _transaction(row: Mapping[str, Any]) -> list[str]:
    shown = {name: str(value) for name, value in row.items() if value is not None}
    shown["amount"] = money(row["amount_minor"], row["currency"])
    kept = {name: value for name, value in shown.items() if name not in ("amount_minor", "currency")}
    return ["<h2>The transaction</h2>", facts(lines(kept))]


def _blocked(stream: StreamParams, alert: Decision) -> list[str]:
    """Put the card on the list, as `fraudline cards block` does, and show what list and trail say."""
    topics = stream.topics
    ensure_topics(stream, {topics.blocked_cards: {"cleanup.policy": "compact"}, topics.card_actions: {}})
    why = f"{alert.decision} of {alert.transaction_id}: {alert.reasons[0].text if alert.reasons else 'its score'}"
    block_cards(stream, [alert.card_id], now_us() + DAY_US, by="demo", why=why)
    entry = next(entry for entry in listed(stream) if entry.card_id == alert.card_id)
    action = next(action for action in actions(stream) if action.card_id == alert.card_id)
    rows = [
        ("card", entry.card_id),
        ("blocked until", from_us(entry.until).isoformat(timespec="seconds")),
        ("who", action.by),
        ("when", from_us(action.at).isoformat(timespec="seconds")),
        ("why", action.why),
    ]
    return ["<h2>The block</h2>", facts(rows)]


def _card(card: list[dict[str, Any]], mine: Mapping[str, Any], tally: Tally) -> list[str]:
    """The card in this stream, around the alert, with what each became and what it was in truth."""
    at = next(n for n, row in enumerate(card) if row["transaction_id"] == mine["transaction_id"])
    begin = max(0, at - _SHOWN // 3)
    rows = [
        f"<tr{' class=main' if row is card[at] else ''}><td>{row['event_time']:%m-%d %H:%M:%S}</td>"
        f"<td>{escape(money(row['amount_minor'], row['currency']))}</td><td>{escape(row['merchant_id'])}</td>"
        f"<td>{escape(tally.decision_on(row['transaction_id']))}</td>"
        f"<td>{escape(tally.truth.get(row['transaction_id'], 'normal'))}</td></tr>"
        for row in card[begin : begin + _SHOWN]
    ]
    titles = ["time", "amount", "merchant", "decided", "in truth"]
    return ["<h2>What the card did around it</h2>", sheet(titles, rows)]
