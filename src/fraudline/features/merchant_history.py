"""The history of merchants, counted by day: what the daily tables of :mod:`fraudline.features.profiles` are made of."""

import json
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, EPOCH
from fraudline.features.columns import base_amounts, columns_from_table
from fraudline.features.spec import FeatureSpec
from fraudline.features.streaks import streaks_of, weights_of_frauds

VALUES = (
    *("count_7d", "count_30d", "mean_amount_30d", "risk_1d", "risk_7d", "risk_30d", "age_days"),
    *("fraud_weight_7d", "streak_weight", "streak_age", "outbreak_weight", "outbreak_age"),
)
"""Columns of a merchant table after ``merchant_id``, float32, in the kernel's order."""
POPULATION = ("mean_amount", "amount_cv2", "risk")
"""The population's figures: base units, squared coefficient of variation, fraud rate."""
SCHEMA = pa.schema([("merchant_id", pa.string()), *((name, pa.float32()) for name in VALUES)])
"""Columns of a merchant table."""
KEY = b"fraudline.population"
"""Key of the population's figures in a table's metadata, as a JSON list."""


def build_profiles(
    transactions: pa.Table, labels: pa.Table, *, spec: FeatureSpec, label_delay_days: int
) -> dict[date, pa.Table]:
    """Merchant tables of every day from the second of the data to the one after the last.

    Args:
        transactions: rows of ``schema.TRANSACTIONS`` in any order.
        labels: rows of ``schema.LABELS``; rows that are no fraud are ignored.
        spec: gives currencies and prior weights.
        label_delay_days: age from which a transaction without a label counts as normal.

    Returns:
        By day: a table of ``merchant_id`` and :data:`VALUES`, the population in its metadata; empty without data.

    Raises:
        SchemaError: a column is missing or a currency has no rate.
    """
    if transactions.num_rows == 0:
        return {}
    return _History(transactions, labels, spec).tables(label_delay_days)


@dataclass(frozen=True)
class _Outcomes:
    """The arguments of ``streaks_of``, rows in time order."""

    day: NDArray[np.int64]
    merchant: NDArray[np.int32]
    known: NDArray[np.int64]
    weight: NDArray[np.float64]
    censored: NDArray[np.bool_]


class _History:
    """Daily counts of merchants, and frauds with the day from which they are known."""

    def __init__(self, transactions: pa.Table, labels: pa.Table, spec: FeatureSpec) -> None:
        columns = columns_from_table(transactions)
        self.spec = spec
        self.merchants = _texts(transactions["merchant_id"])
        self.merchant = columns.merchant_code
        day = columns.event_time // DAY_US
        self.first = int(day.min())
        self.days = int(day.max()) - self.first + 1
        self.day = day - self.first
        self.card, self.cards = columns.card_code, len(columns.cards)
        self.amount = base_amounts(columns, spec)
        shape = (self.days, len(self.merchants))
        cell = self.day * shape[1] + self.merchant
        self.counts = _running(np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape))
        self.sums = _running(np.bincount(cell, self.amount, minlength=shape[0] * shape[1]).reshape(shape))
        self.totals = self.counts.sum(axis=1)
        frauds = labels.filter(labels["is_fraud"])
        place = pc.index_in(transactions["transaction_id"], frauds["transaction_id"])
        row = np.flatnonzero(pc.is_valid(place).to_numpy())
        label_time = frauds["label_time"].cast(pa.int64()).to_numpy()[place.drop_null().to_numpy()]
        self.fraud_row = row
        self.fraud_day, self.fraud_merchant = self.day[row], self.merchant[row]
        self.fraud_known = label_time // DAY_US + 1 - self.first  # the first day whose midnight is after the label
        self.populations = self._populations()
        self._order = _time_order(transactions)
        self._weight = self._weights()
        self.fraud_weight = self._weight[row]

    def tables(self, delay: int) -> dict[date, pa.Table]:
        first_seen = np.argmax(self.counts[1:] > 0, axis=0)
        outcomes = self._outcomes()
        result = {}
        for d in range(1, self.days + 1):
            mean, cv2, _ = self.populations[d - 1]
            seen = np.flatnonzero(first_seen < d)
            risks, prior = self._risks(d, delay)
            count_30 = self._window(self.counts, d, 30)
            weight = self.spec.parameters.amount_prior_weight
            mean_30 = (self._window(self.sums, d, 30) + weight * mean) / (count_30 + weight)
            columns = [self._window(self.counts, d, 7), count_30, mean_30, *risks, d - first_seen]
            columns += [self._fraud_weight(d, delay), *self._streaks(outcomes, d, delay)]
            arrays = [pa.array(column[seen].astype(np.float32)) for column in columns]
            names = pa.array([self.merchants[k] for k in seen.tolist()], pa.string())
            schema = SCHEMA.with_metadata({KEY: json.dumps([mean, cv2, prior])})
            day = EPOCH.date() + timedelta(days=self.first + d)
            result[day] = pa.Table.from_arrays([names, *arrays], schema=schema)
        return result

    def _window(self, running: NDArray[Any], end: int, width: int) -> NDArray[Any]:
        """Sums over the days [end - width, end), by merchant."""
        last, first = max(end, 0), max(end - width, 0)
        difference: NDArray[Any] = running[last] - running[first]
        return difference

    def _risks(self, d: int, delay: int) -> tuple[list[NDArray[np.float64]], float]:
        parameters, end = self.spec.parameters, d - delay
        usable = (self.fraud_known <= d) & (self.fraud_day < end)
        matured = float(self.totals[max(end, 0)])
        prior = np.count_nonzero(usable) / matured if matured else parameters.default_risk
        weight = parameters.risk_prior_weight
        risks = []
        for width in (1, 7, 30):
            inside = usable & (self.fraud_day >= end - width)
            frauds = np.bincount(self.fraud_merchant[inside], minlength=len(self.merchants))
            risks.append((frauds + weight * prior) / (self._window(self.counts, end, width) + weight))
        return risks, prior

    def _weights(self) -> NDArray[np.float64]:
        """What each transaction would weigh as a fraud, (n,), by the population of the morning of its day."""
        p = self.spec.parameters
        at_first = (p.default_mean_amount, p.default_amount_cv2, p.default_mean_amount * p.default_amount_cv2**0.5)
        population = np.array([at_first, *self.populations])[self.day[self._order]]
        card, amount = self.card[self._order], self.amount[self._order]
        result = np.empty(len(self.day))
        result[self._order] = weights_of_frauds(card, self.cards, amount, population, p)
        return result

    def _outcomes(self) -> "_Outcomes":
        """Every transaction in time order, with what is known of it and when."""
        never = np.iinfo(np.int64).max
        known = np.full(len(self.day), never)
        known[self.fraud_row] = self.fraud_known
        order = self._order
        day, merchant = self.day[order], self.merchant[order]
        first = np.zeros(len(order), np.bool_)
        first[np.unique(merchant, return_index=True)[1]] = True
        censored = first & (day < self.spec.parameters.streak_margin_days)
        return _Outcomes(day, merchant, known[order], self._weight[order], censored)

    def _fraud_weight(self, d: int, delay: int) -> NDArray[np.float64]:
        """Summed weight of the frauds of 7 days that ended one label delay ago, by merchant."""
        end = d - delay
        inside = (self.fraud_known <= d) & (self.fraud_day < end) & (self.fraud_day >= end - 7)
        merchants, weights = self.fraud_merchant[inside], self.fraud_weight[inside].astype(np.float64)
        return np.asarray(np.bincount(merchants, weights, minlength=len(self.merchants)), np.float64)

    def _streaks(self, outcomes: "_Outcomes", d: int, delay: int) -> list[NDArray[np.float64]]:
        p = self.spec.parameters
        found = streaks_of(
            outcomes.day,
            outcomes.merchant,
            outcomes.known,
            outcomes.weight,
            outcomes.censored,
            merchants=len(self.merchants),
            table_day=d,
            delay=delay,
            memory=p.streak_memory_days,
            clean_limit=p.outbreak_clean_limit,
        )
        return list(found.T)

    def _populations(self) -> list[tuple[float, float, float]]:
        """Of all data up to the end of each day.

        Returns:
            Mean amount, squared coefficient of variation within cards, standard deviation of all amounts.
        """
        n, total, squares = (np.zeros(self.cards) for _ in range(3))
        default = self.spec.parameters
        order = np.argsort(self.day, kind="stable")
        bounds = np.searchsorted(self.day[order], np.arange(self.days + 1))
        result = []
        for d in range(self.days):
            rows = order[bounds[d] : bounds[d + 1]]
            card, amount = self.card[rows], self.amount[rows]
            n += np.bincount(card, minlength=self.cards)
            total += np.bincount(card, amount, minlength=self.cards)
            squares += np.bincount(card, amount * amount, minlength=self.cards)
            active = n > 0
            explained = float(np.sum(total[active] ** 2 / n[active]))
            freedom = float(n.sum() - np.count_nonzero(active))
            mean = float(total.sum() / n.sum())
            usable = freedom > 0 and explained > 0 and mean > 0
            within = max(float(squares.sum()) - explained, 0.0) / freedom if usable else 0.0
            cv2 = within / (explained / float(n.sum())) if usable else 0.0
            mean = mean if mean > 0 else default.default_mean_amount
            cv2 = cv2 or default.default_amount_cv2
            whole = float(squares.sum() / n.sum()) - mean * mean
            result.append((mean, cv2, max(whole, cv2 * mean * mean) ** 0.5))
        return result


def _time_order(transactions: pa.Table) -> NDArray[np.int64]:
    """Rows by time, then identifier, as the engine sees them."""
    keys = [("event_time", "ascending"), ("transaction_id", "ascending")]
    order: NDArray[np.int64] = pc.sort_indices(transactions, sort_keys=keys).to_numpy().astype(np.int64)
    return order


def _running(daily: NDArray[Any]) -> NDArray[Any]:
    """Row d is the sum over days before d: ``(days + 1, merchants)``."""
    result = np.zeros((len(daily) + 1, daily.shape[1]), daily.dtype)
    np.cumsum(daily, axis=0, out=result[1:])
    return result


def _texts(column: pa.ChunkedArray) -> list[str]:
    result: list[str] = column.unique().to_pylist()
    return result
