"""The Handbook's features against sums by hand."""

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.quality.book import NAMES, book_features
from fraudline.core.clock import DAY_US, HOUR_US

MONDAY_US = 17_693 * DAY_US  # 2018-06-11


def rows(n: int = 400, seed: int = 4) -> pa.Table:
    rng = np.random.default_rng(seed)
    times = MONDAY_US + np.sort(rng.integers(0, 50 * DAY_US, n))
    return pa.table(
        {
            "event_time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "card_id": rng.integers(0, 5, n).astype(str),
            "merchant_id": rng.integers(0, 4, n).astype(str),
            "amount_minor": rng.integers(100, 9_000, n),
            "is_fraud": rng.random(n) < 0.1,
        }
    )


def column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, NAMES.index(name)]


@pytest.mark.parametrize("days", [1, 7, 30])
def test_windows_hold_the_rows_that_the_book_counts(days: int) -> None:
    table = rows()
    features = book_features(table)
    times = table["event_time"].cast(pa.int64()).to_numpy()
    cards, terminals = table["card_id"].to_numpy(), table["merchant_id"].to_numpy()
    amounts, frauds = table["amount_minor"].to_numpy() / 100, table["is_fraud"].to_numpy()
    for row in range(0, len(times), 7):
        age = times[row] - times
        mine = (cards == cards[row]) & (age >= 0) & (age < days * DAY_US)
        assert column(features, f"card_count_{days}d")[row] == mine.sum(), "this row included"
        assert column(features, f"card_mean_amount_{days}d")[row] == pytest.approx(amounts[mine].mean(), rel=1e-5)
        there = (terminals == terminals[row]) & (age >= 7 * DAY_US) & (age < (7 + days) * DAY_US)
        assert column(features, f"terminal_count_{days}d")[row] == there.sum()
        risk = frauds[there].mean() if there.any() else 0.0
        assert column(features, f"terminal_risk_{days}d")[row] == pytest.approx(risk, abs=1e-6)


def test_flags_say_weekend_and_night() -> None:
    hours = np.array([0, 6, 7, 5 * 24 + 12, 7 * 24 + 12])  # Monday 0, 6 and 7 o'clock, Saturday noon, Monday noon
    table = pa.table(
        {
            "event_time": pa.array(MONDAY_US + hours * HOUR_US, pa.timestamp("us", tz="UTC")),
            "card_id": ["c"] * 5,
            "merchant_id": ["m"] * 5,
            "amount_minor": [100] * 5,
            "is_fraud": [False] * 5,
        }
    )
    features = book_features(table)
    assert column(features, "night").tolist() == [1, 1, 0, 0, 0]
    assert column(features, "weekend").tolist() == [0, 0, 0, 1, 0]
