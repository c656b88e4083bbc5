"""Figures of merit of a score, for one set of rows or for many resamples of it at once.

    >>> import numpy as np
    >>> average_precision(np.array([True, False, True]), np.array([0.9, 0.8, 0.1]))
    0.8333333333333333

A score is high where a row is anomalous. Ties are counted as scikit-learn counts them: rows of equal score are alerted
together. Every function is NumPy only. ``labels`` are bool (n,), True for a fraud, and ``scores`` float (n,). Weighted
forms take ``counts``: how often each row stands in each resample. ``average_precision_of``, ``roc_auc_of`` and
``recall_at_rate_of`` take what :meth:`Ranking.runs` gives, float (resamples, runs) each, and give float (resamples,).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_POINTS = 400
"""Of a curve that is drawn."""


@dataclass(frozen=True)
class Ranking:
    """Rows in falling order of score, cut into runs: each tie with a fraud in it is a run, and so is what lies between.

    Everything that depends on ranks alone (average precision, ROC-AUC, recall at an alert rate) is exact on the runs,
    so a resample costs one pass over its counts and no sort.

    Attributes:
        order: row numbers in falling order of score, shape (n,).
        starts: first position of each run in ``order``, shape (runs,).
        frauds: row numbers of the frauds in falling order, shape (frauds,).
        run_of_fraud: the run in which each of ``frauds`` lies.
    """

    order: Ints
    starts: Ints
    frauds: Ints
    run_of_fraud: Ints

    @classmethod
    def of(cls, labels: Bools, scores: Floats) -> "Ranking":
        """Rank rows; ``labels`` bool (n,), ``scores`` float (n,)."""
        order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
        ranked, fraud = np.asarray(scores)[order], np.asarray(labels, dtype=bool)[order]
        tie_starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(order) else np.zeros(0, np.int64)
        if not len(tie_starts):
            return cls(order, tie_starts, order, order)
        has_fraud = np.logical_or.reduceat(fraud, tie_starts)
        opens = has_fraud | np.r_[True, has_fraud[:-1]]
        starts = tie_starts[opens]
        positions = np.flatnonzero(fraud)
        return cls(order, starts, order[positions], np.searchsorted(starts, positions, side="right") - 1)

    def runs(self, counts: NDArray[np.int32] | None = None, unit: Ints | None = None) -> tuple[Floats, Floats]:
        """Frauds and rows in each run, for each resample.

        Args:
            counts: how often each unit is drawn in each resample, shape (resamples, units); all rows once when None.
            unit: the unit (card or transaction) of each row, shape (n,); the row itself when None.

        Returns:
            frauds and rows, each float (resamples, runs).
        """
        if counts is None:
            counts, unit = np.ones((1, 1), np.int32), np.zeros(len(self.order), np.int64)
        unit = np.arange(len(self.order)) if unit is None else unit
        frauds = np.zeros((len(counts), len(self.starts)))
        if not len(self.starts):
            return frauds, frauds.copy()
        rows = np.add.reduceat(np.take(counts, unit[self.order], axis=1), self.starts, axis=1).astype(np.float64)
        if len(self.frauds):
            drawn = np.take(counts, unit[self.frauds], axis=1)
            filled, first = np.unique(self.run_of_fraud, return_index=True)
            frauds[:, filled] = np.add.reduceat(drawn, first, axis=1)
        return frauds, rows


def average_precision_of(frauds: Floats, rows: Floats) -> Floats:
    """Average precision of each resample: Σ (Rₙ - Rₙ₋₁) Pₙ over its runs; NaN without a fraud."""
    found, alerted = frauds.cumsum(axis=1), rows.cumsum(axis=1)
    precision = np.divide(found, alerted, out=np.zeros_like(found), where=alerted > 0)
    return _ratio((frauds * precision).sum(axis=1), found[:, -1] if found.size else np.zeros(len(frauds)))


def roc_auc_of(frauds: Floats, rows: Floats) -> Floats:
    """Area under the ROC curve of each resample (Mann-Whitney U, a tie counts a half); NaN without both classes."""
    normals = rows - frauds
    below = normals.sum(axis=1, keepdims=True) - normals.cumsum(axis=1) + normals / 2
    return _ratio((frauds * below).sum(axis=1), frauds.sum(axis=1) * normals.sum(axis=1))


def recall_at_rate_of(frauds: Floats, rows: Floats, rate: float) -> Floats:
    """Share of frauds among the ``rate`` highest scores of each resample; a tie over the edge counts in proportion."""
    found = np.hstack([np.zeros((len(frauds), 1)), frauds.cumsum(axis=1)])
    alerted = np.hstack([np.zeros((len(rows), 1)), rows.cumsum(axis=1)])
    reached = [np.interp(rate * a[-1], a, f) for a, f in zip(alerted, found, strict=True)]
    return _ratio(np.array(reached), found[:, -1])


def average_precision(labels: Bools, scores: Floats) -> float:
    """Area under the precision-recall steps; NaN without a fraud."""
    return float(average_precision_of(*Ranking.of(labels, scores).runs())[0])


def roc_auc(labels: Bools, scores: Floats) -> float:
    """Probability that a fraud scores above a normal; NaN without both classes."""
    return float(roc_auc_of(*Ranking.of(labels, scores).runs())[0])


def recall_at_rate(labels: Bools, scores: Floats, rate: float) -> float:
    """Share of frauds caught when the ``rate`` highest scores are alerted."""
    return float(recall_at_rate_of(*Ranking.of(labels, scores).runs(), rate)[0])


@dataclass(frozen=True)
class CardDays:
    """The ranked cards of each day: for card precision.

    Attributes:
        days: for each day the card codes in falling order of their highest score, and whether each has a fraud there.
        cards: number of card codes.
    """

    days: tuple[tuple[Ints, Bools], ...]
    cards: int

    @classmethod
    def of(cls, labels: Bools, scores: Floats, cards: Ints, days: Ints) -> "CardDays":
        """Rank the cards of each day.

        Args:
            labels: whether the row is a fraud, bool (n,).
            scores: float (n,).
            cards: card code of each row, 0 ... number of cards - 1, int (n,).
            days: day number of each row, int (n,).
        """
        ranked = []
        for day in np.unique(days):
            rows = np.flatnonzero(days == day)
            rows = rows[np.lexsort((cards[rows], -scores[rows]))]
            code, first = np.unique(cards[rows], return_index=True)
            compromised = np.zeros(int(code[-1]) + 1, dtype=bool)
            compromised[cards[rows[labels[rows]]]] = True
            by_score = code[np.argsort(first, kind="stable")]
            ranked.append((by_score, compromised[by_score]))
        return cls(tuple(ranked), int(cards.max()) + 1 if len(cards) else 0)


def card_precision_of(ranked: CardDays, k: int, counts: NDArray[np.int32] | None = None) -> Floats:
    """Card precision at ``k`` of each resample of cards.

    Each day the ``k`` cards of highest score are investigated; the precision is the compromised share of them. A
    compromised card so found is known and leaves the following days. The figure is the mean over days, as in Le Borgne
    et al., Reproducible Machine Learning for Credit Card Fraud Detection (2022), chapter 4.

    Args:
        ranked: the ranked cards of each day.
        k: cards investigated a day.
        counts: how often each card is drawn, shape (resamples, cards); once each when None.
    """
    left = np.ones((1, ranked.cards), np.int64) if counts is None else counts.astype(np.int64)
    total = np.zeros(len(left))
    for cards, compromised in ranked.days:
        drawn = left[:, cards]
        before = drawn.cumsum(axis=1) - drawn
        found = np.minimum(np.clip(k - before, 0, None), drawn) * compromised
        total += found.sum(axis=1) / k
        left[:, cards] = np.where(found > 0, 0, drawn)
    return total / max(len(ranked.days), 1)


def card_precision(labels: Bools, scores: Floats, cards: Sequence[Any] | Ints, days: Ints, k: int = 100) -> float:
    """Card precision at ``k``: see :func:`card_precision_of`. ``cards`` are any identifiers."""
    codes = np.unique(np.asarray(cards), return_inverse=True)[1]
    ranked = CardDays.of(np.asarray(labels, bool), np.asarray(scores, np.float64), codes, np.asarray(days))
    return float(card_precision_of(ranked, k)[0])


def threshold_columns(labels: Bools, alerted: Bools, amounts: Ints) -> Floats:
    """What each row adds to the sums behind the figures at a threshold.

    Returns:
        float (n, 5): caught fraud, alert, fraud, caught amount, fraud amount (minor units).
    """
    caught = labels & alerted
    return np.column_stack([caught, alerted, labels, caught * amounts, labels * amounts]).astype(np.float64)


def threshold_figures(sums: Floats, review_cost: float, recovered_share: float) -> dict[str, Floats]:
    """Precision, recall, F1 and money at a threshold from summed :func:`threshold_columns`.

    Args:
        sums: float (resamples, 5).
        review_cost: cost of one alert, minor units.
        recovered_share: share of a caught fraud's amount that is not lost.

    Returns:
        precision, recall, f1, alert count, money_saved (minor units, net of reviews), money_saved_share (of all fraud).
    """
    caught, alerts, frauds, caught_amount, fraud_amount = sums.T
    saved = recovered_share * caught_amount - review_cost * alerts
    return {
        "precision": np.divide(caught, alerts, out=np.zeros_like(caught), where=alerts > 0),
        "recall": _ratio(caught, frauds),
        "f1": np.divide(2 * caught, alerts + frauds, out=np.zeros_like(caught), where=alerts + frauds > 0),
        "alerts": alerts,
        "money_saved": saved,
        "money_saved_share": _ratio(saved, fraud_amount),
    }


def roc_points(labels: Bools, scores: Floats) -> tuple[Floats, Floats, Floats]:
    """The ROC curve thinned to about 400 points, from (0, 0) to (1, 1).

    Returns:
        false positive rate, true positive rate, and the lowest score alerted at each point.
    """
    ranking = Ranking.of(labels, scores)
    frauds, rows = (runs[0] for runs in ranking.runs())
    true = np.r_[0.0, frauds.cumsum()]
    false = np.r_[0.0, (rows - frauds).cumsum()]
    last = np.r_[0, np.r_[ranking.starts[1:], len(ranking.order)] - 1]
    kept = _thin(len(true))
    edges = np.asarray(scores, np.float64)[ranking.order[last[kept]]]
    return false[kept] / max(false[-1], 1.0), true[kept] / max(true[-1], 1.0), edges


def pr_points(labels: Bools, scores: Floats) -> tuple[Floats, Floats]:
    """Recall and precision at each run that holds a fraud, thinned to about 400 points."""
    frauds, rows = (runs[0] for runs in Ranking.of(labels, scores).runs())
    hits = np.flatnonzero(frauds)
    found, alerted = frauds.cumsum()[hits], rows.cumsum()[hits]
    kept = _thin(len(hits))
    return found[kept] / max(frauds.sum(), 1.0), found[kept] / alerted[kept]


def _thin(length: int) -> Ints:
    return np.unique(np.linspace(0, length - 1, min(length, _POINTS)).round().astype(np.int64))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    quotient: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom > 0)
    return quotient
