"""The history of merchants, counted by period: what the tables of :mod:`fraudline.features.profiles` are made of.

A day has ``24 / profile_hours`` periods, numbered from the first midnight of the data. Table ``k`` holds from the
beginning of period ``k``: it knows the frauds confirmed until then, its counts and means end with the last midnight. An
attack under way would hide in counts of its own transactions.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.data.schema import ORDER
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
_QUIET_DAYS = 30
"""For how long tables go on where nobody pays: the longest time that they count."""
KEY = b"fraudline.population"
"""Key of the population's figures in a table's metadata, as a JSON list."""


def build_profiles(
    transactions: pa.Table,
    labels: pa.Table,
    *,
    spec: FeatureSpec,
    label_delay_days: int,
    since: int | None = None,
    until: int | None = None,
) -> dict[int, pa.Table]:
    """Merchant tables of every period from the second day of the data to the midnight after the last, or to ``until``.

    Args:
        transactions: rows of ``schema.TRANSACTIONS`` in any order.
        labels: rows of ``schema.LABELS``; rows that are no fraud are ignored.
        spec: gives the length of a period, currencies and prior weights.
        label_delay_days: age from which a transaction without a label counts as normal.
        since: µs; of the tables before it only the one that holds at that moment.
        until: µs, the present; no table begins later: it would hold with what is not known yet. There are tables up to
            it where the last transaction is of up to 30 days before, too: frauds are confirmed meanwhile.

    Returns:
        By the moment from which it holds (µs): a table of ``merchant_id`` and :data:`VALUES`, the population in its
        metadata; empty without data.

    Raises:
        SchemaError: a column is missing or a currency has no rate.
    """
    if transactions.num_rows == 0:
        return {}
    return _History(transactions, labels, spec, until).tables(label_delay_days, since, until)


@dataclass(frozen=True)
class _Outcomes:
    """The arguments of ``streaks_of``, rows in time order."""

    period: NDArray[np.int64]
    merchant: NDArray[np.int32]
    known: NDArray[np.int64]
    weight: NDArray[np.float64]
    censored: NDArray[np.bool_]


class _History:
    """Counts of merchants by period, and frauds with the period from which they are known."""

    def __init__(self, transactions: pa.Table, labels: pa.Table, spec: FeatureSpec, until: int | None) -> None:
        columns = columns_from_table(transactions)
        self.spec = spec
        self.a_day = 24 // spec.parameters.profile_hours
        self.merchants = _texts(transactions["merchant_id"])
        self.merchant = columns.merchant_code
        length = DAY_US // self.a_day
        first = int(columns.event_time.min()) // DAY_US * self.a_day
        self.length_us, self.start_us = length, first * length
        self.period = columns.event_time // length - first
        self.day = self.period // self.a_day
        last = int(self.day.max())
        if until is not None:  # where nobody pays any more, what is known of frauds goes on
            last = max(last, min(self._period_of(until) // self.a_day, last + _QUIET_DAYS))
        self.days = last + 1
        self.periods = self.days * self.a_day
        self.card, self.cards = columns.card_code, len(columns.cards)
        self.amount = base_amounts(columns, spec)
        shape = (self.periods, len(self.merchants))
        cell = self.period * shape[1] + self.merchant
        self.counts = _running(np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape))
        self.sums = _running(np.bincount(cell, self.amount, minlength=shape[0] * shape[1]).reshape(shape))
        self.totals = self.counts.sum(axis=1)
        frauds = labels.filter(labels["is_fraud"])
        place = pc.index_in(transactions["transaction_id"], frauds["transaction_id"])
        row = np.flatnonzero(pc.is_valid(place).to_numpy())
        label_time = frauds["label_time"].cast(pa.int64()).to_numpy()[place.drop_null().to_numpy()]
        self.fraud_row = row
        self.fraud_period, self.fraud_merchant = self.period[row], self.merchant[row]
        self.fraud_known = label_time // length + 1 - first  # the first period that begins after the label
        self.populations = self._populations()
        self._order = _time_order(transactions)
        self._weight = self._weights()
        self.fraud_weight = self._weight[row]

    def tables(self, delay_days: int, since: int | None, until: int | None) -> dict[int, pa.Table]:
        first_seen = np.argmax(self.counts[1:] > 0, axis=0)
        outcomes, delay = self._outcomes(), delay_days * self.a_day
        last = self.periods if until is None else min(self.periods, self._period_of(until))
        first = self.a_day if since is None else max(self.a_day, min(last, self._period_of(since)))
        result = {}
        for k in range(first, last + 1):
            day = k // self.a_day
            midnight = day * self.a_day
            mean, cv2, _ = self.populations[day - 1]
            seen = np.flatnonzero(first_seen < midnight)
            risks, prior = self._risks(k, delay)
            count_30 = self._window(self.counts, midnight, 30)
            weight = self.spec.parameters.amount_prior_weight
            mean_30 = (self._window(self.sums, midnight, 30) + weight * mean) / (count_30 + weight)
            age = day - first_seen // self.a_day
            columns = [self._window(self.counts, midnight, 7), count_30, mean_30, *risks, age]
            columns += [self._fraud_weight(k, delay), *self._streaks(outcomes, k, delay)]
            arrays = [pa.array(column[seen].astype(np.float32)) for column in columns]
            names = pa.array([self.merchants[m] for m in seen.tolist()], pa.string())
            schema = SCHEMA.with_metadata({KEY: json.dumps([mean, cv2, prior])})
            result[self.start_us + k * self.length_us] = pa.Table.from_arrays([names, *arrays], schema=schema)
        return result

    def _period_of(self, moment_us: int) -> int:
        return (moment_us - self.start_us) // self.length_us

    def _window(self, running: NDArray[Any], end: int, days: int) -> NDArray[Any]:
        """Sums over the days that end with period ``end - 1``, by merchant."""
        last, first = max(end, 0), max(end - days * self.a_day, 0)
        difference: NDArray[Any] = running[last] - running[first]
        return difference

    def _risks(self, k: int, delay: int) -> tuple[list[NDArray[np.float64]], float]:
        parameters, end = self.spec.parameters, k - delay
        usable = (self.fraud_known <= k) & (self.fraud_period < end)
        matured = float(self.totals[max(end, 0)])
        prior = np.count_nonzero(usable) / matured if matured else parameters.default_risk
        weight = parameters.risk_prior_weight
        risks = []
        for days in (1, 7, 30):
            inside = usable & (self.fraud_period >= end - days * self.a_day)
            frauds = np.bincount(self.fraud_merchant[inside], minlength=len(self.merchants))
            risks.append((frauds + weight * prior) / (self._window(self.counts, end, days) + weight))
        return risks, prior

    def _weights(self) -> NDArray[np.float64]:
        """What each transaction would weigh as a fraud, (n,), by the population of the morning of its day."""
        p = self.spec.parameters
        at_first = (p.default_mean_amount, p.default_amount_cv2, p.default_mean_amount * p.default_amount_cv2**0.5)
        population = np.array([at_first, *self.populations])[self.day[self._order]]
        card, amount = self.card[self._order], self.amount[self._order]
        result = np.empty(len(self.period))
        result[self._order] = weights_of_frauds(card, self.cards, amount, population, p)
        return result

    def _outcomes(self) -> "_Outcomes":
        """Every transaction in time order, with what is known of it and when."""
        never = np.iinfo(np.int64).max
        known = np.full(len(self.period), never)
        known[self.fraud_row] = self.fraud_known
        order = self._order
        period, merchant = self.period[order], self.merchant[order]
        first = np.zeros(len(order), np.bool_)
        first[np.unique(merchant, return_index=True)[1]] = True
        censored = first & (period < self.spec.parameters.streak_margin_days * self.a_day)
        return _Outcomes(period, merchant, known[order], self._weight[order], censored)

    def _fraud_weight(self, k: int, delay: int) -> NDArray[np.float64]:
        """Summed weight of the frauds of 7 days that ended one label delay ago, by merchant."""
        end = k - delay
        inside = (self.fraud_known <= k) & (self.fraud_period < end) & (self.fraud_period >= end - 7 * self.a_day)
        merchants, weights = self.fraud_merchant[inside], self.fraud_weight[inside].astype(np.float64)
        return np.asarray(np.bincount(merchants, weights, minlength=len(self.merchants)), np.float64)

    def _streaks(self, outcomes: "_Outcomes", k: int, delay: int) -> list[NDArray[np.float64]]:
        p = self.spec.parameters
        found = streaks_of(
            outcomes.period,
            outcomes.merchant,
            outcomes.known,
            outcomes.weight,
            outcomes.censored,
            merchants=len(self.merchants),
            table=k,
            delay=delay,
            memory=p.streak_memory_days * self.a_day,
            clean_limit=p.outbreak_clean_limit,
        )
        found[:, 1::2] /= self.a_day
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
    order: NDArray[np.int64] = pc.sort_indices(transactions, sort_keys=ORDER).to_numpy().astype(np.int64)
    return order


def _running(counts: NDArray[Any]) -> NDArray[Any]:
    """Row k is the sum over periods before k: ``(periods + 1, merchants)``."""
    result = np.zeros((len(counts) + 1, counts.shape[1]), counts.dtype)
    np.cumsum(counts, axis=0, out=result[1:])
    return result


def _texts(column: pa.ChunkedArray) -> list[str]:
    result: list[str] = column.unique().to_pylist()
    return result
