"""Where the suspicious rows of a training set are: what a gate says when their share has moved.

    record = contamination(share=0.031, suspicious=rows, trimmed=True, cards=cards, days=days)
    named(record)      # 'most of them: cards c17 (12), c4 (9); days 2026-02-03 (40), 2026-02-04 (31)'

A share that moves from one version of the data to the next is a sign that labels were lost, or that someone teaches the
model that fraud is normal; then its cards and days are few. The record travels in ``model.json``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.data.store import day_of

SHARE = "suspicious_share"
"""The figure's name in ``metrics.json``, for a rule of the gate."""
_MOST = 5
_DIGITS = 4  # of the share: more would tell chance


def contamination(
    *, share: float | None, suspicious: NDArray[np.bool_], trimmed: bool, cards: NDArray[Any], days: NDArray[np.int64]
) -> dict[str, Any]:
    """The record of a training set.

    Args:
        share: estimated share of unreported frauds, None where it could not be told.
        suspicious: (n,) bool, rows that look like one.
        trimmed: whether these were left out.
        cards: (n,) str.
        days: (n,) day since the epoch.

    Returns:
        ``share``, ``rows``, ``suspicious``, ``trimmed`` (a count), and the ``cards`` and ``days`` that have most of the
        suspicious rows, as pairs of a name and a count.
    """
    found = int(np.count_nonzero(suspicious))
    return {
        "share": None if share is None else round(share, _DIGITS),
        "rows": len(suspicious),
        "suspicious": found,
        "trimmed": found if trimmed else 0,
        "cards": [[str(card), count] for card, count in _most(cards[suspicious])],
        "days": [[day_of(int(day)).isoformat(), count] for day, count in _most(days[suspicious])],
    }


def named(record: Mapping[str, Any]) -> str:
    """The cards and days of a record in words, "" where it has none."""
    if not record.get("suspicious"):
        return ""
    parts = [f"{what} {', '.join(f'{name} ({count})' for name, count in record[what])}" for what in ("cards", "days")]
    return (
        f"{record['suspicious']} of {record['rows']} training rows look like frauds; most of them: {'; '.join(parts)}"
    )


def _most(values: NDArray[Any]) -> list[tuple[Any, int]]:
    names, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_MOST]
    return [(names[k], int(counts[k])) for k in order]
