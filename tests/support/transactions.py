"""Small tables of transactions for tests: one row from a few words, or many at random."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from fraudline.data.schema import LABELS, TRANSACTIONS

START = 1_767_571_200_000_000
"""Monday 2026-01-05 00:00 UTC, in microseconds."""
SECOND, MINUTE, HOUR, DAY = 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000


def transaction(at: float, **fields: Any) -> dict[str, Any]:
    """A transaction ``at`` seconds after START: card c, merchant m, 10.00 EUR, no position, no device."""
    row = {
        "transaction_id": f"t{at:.6f}",
        "event_time": START + round(at * SECOND),
        "card_id": "c",
        "merchant_id": "m",
        "category": 5411,
        "amount_minor": 1000,
        "currency": "EUR",
        "channel": "pos",
        "card_present": True,
        "country": None,
        "latitude": None,
        "longitude": None,
        "device_id": None,
    }
    assert set(fields) <= set(row), fields
    return row | fields


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table of the transaction schema."""
    return pa.table({name: [row[name] for row in rows] for name in TRANSACTIONS.names}, schema=TRANSACTIONS)


def labels_of(rows: list[tuple[str, int]]) -> pa.Table:
    """Fraud labels from (transaction id, label time in microseconds)."""
    ids, times = [row[0] for row in rows], [row[1] for row in rows]
    kinds, frauds = ["test"] * len(rows), [True] * len(rows)
    values = {"transaction_id": ids, "label_time": times, "is_fraud": frauds, "fraud_kind": kinds}
    return pa.table(values, schema=LABELS)


def messages_of(table: pa.Table) -> list[SimpleNamespace]:
    """Rows as the worker parses them: attributes, ``event_time`` in integer microseconds."""
    index = table.column_names.index("event_time")
    return [
        SimpleNamespace(**row)
        for row in table.set_column(index, "event_time", table["event_time"].cast(pa.int64())).to_pylist()
    ]


def random_table(seed: int, n: int, *, cards: int = 5, days: float = 40.0, late: float = 0.1) -> pa.Table:
    """Transactions with all kinds of missing values and, in share ``late``, event times up to 3 days back."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(1.0, n) * rng.choice([0.001, 0.05, 1.0, 5.0], n)
    times = np.cumsum(gaps) / gaps.sum() * days * 86_400
    times = np.where(rng.random(n) < late, times - rng.exponential(86_400, n).clip(0, 3 * 86_400), times)
    rows = []
    for i, at in enumerate(times):
        placed, online = rng.random() < 0.6, rng.random() < 0.5
        rows.append(
            transaction(
                float(at),
                transaction_id=f"t{i:06d}",
                card_id=f"c{rng.integers(cards)}",
                merchant_id=f"m{rng.integers(12)}",
                category=int(rng.integers(5400, 5408)),
                amount_minor=int(rng.lognormal(8, 1)) if rng.random() < 0.95 else int(rng.integers(-500, 50)),
                currency=str(rng.choice(["EUR", "USD", "JPY", "KWD"])),
                country=str(rng.choice(["FR", "DE", "US"])) if rng.random() < 0.9 else None,
                latitude=float(np.float32(rng.uniform(-89, 89))) if placed else None,
                longitude=float(np.float32(rng.uniform(-180, 180))) if placed else None,
                device_id=f"d{rng.integers(6)}" if online else None,
            )
        )
    return table_of(rows)
