"""Bootstrap intervals of the figures of :mod:`fraudline.model.metrics`.

The same draws serve every model that is compared on the same rows, so that differences are paired. By default whole
cards are drawn: the transactions of one card are not independent, and intervals over single ones are too narrow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fraudline.model import metrics
from fraudline.model.metrics import Bools, Floats, Ints

LEAST_UNITS = 10
"""Of fewer cards (or rows) nothing is drawn and no interval given: of one, all resamples are the same."""

_CELLS = 4_000_000  # resamples x rows held at a time: 16 MB of counts


@dataclass(frozen=True)
class Draws:
    """How often each unit stands in each resample; the first resample is the data itself.

    Attributes:
        counts: int32 (1 + resamples, units); row 0 is all ones.
        unit: unit of each row, int (n,).
    """

    counts: NDArray[np.int32]
    unit: Ints

    @classmethod
    def of(cls, unit: Ints, resamples: int, seed: int) -> "Draws":
        """Draw as many units as there are, with replacement, ``resamples`` times; ``unit`` is int (n,), from 0.

        Of fewer than ``LEAST_UNITS`` nothing is drawn: there is the data alone.
        """
        units = int(unit.max()) + 1 if len(unit) else 0
        resamples = resamples if units >= LEAST_UNITS else 0
        rng = np.random.default_rng(seed)
        counts = np.ones((1 + resamples, units), np.int32)
        for row in range(1, 1 + resamples):
            counts[row] = np.bincount(rng.integers(0, max(units, 1), units), minlength=units)
        return cls(counts, unit)

    def rows(self, chosen: Bools) -> "Draws":
        """The same draws for some of the rows."""
        return Draws(self.counts, self.unit[chosen])

    def sums(self, columns: Floats) -> Floats:
        """Sum of each column over the rows of each resample: (n, m) gives (1 + resamples, m)."""
        units = self.counts.shape[1]
        totals = [np.bincount(self.unit, weights=column, minlength=units) for column in columns.T]
        result: Floats = self.counts.astype(np.float64) @ np.column_stack(totals)
        return result


@dataclass(frozen=True)
class Sample:
    """One figure on the data and on each resample: float (1 + resamples,), the data's first."""

    values: Floats

    @property
    def point(self) -> float:
        """The figure on the data itself."""
        return float(self.values[0])

    def interval(self, confidence: float) -> tuple[float, float]:
        """The central percentile interval; NaN when no resample has the figure."""
        drawn = self.values[1:][np.isfinite(self.values[1:])]
        if not len(drawn):
            return float("nan"), float("nan")
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high)


def ranking_samples(labels: Bools, scores: Floats, draws: Draws, rates: tuple[float, ...] = ()) -> dict[str, Sample]:
    """Average precision, ROC-AUC and recall at alert rates, on the data and on each resample.

    Args:
        labels: bool (n,).
        scores: float (n,).
        draws: the resamples.
        rates: alert rates as shares of the rows.

    Returns:
        ``ap``, ``roc_auc`` and ``recall_at_<rate in percent>pct``.
    """
    ranking = metrics.Ranking.of(labels, scores)
    step = max(1, _CELLS // max(len(labels), 1))
    figures: dict[str, Callable[[Floats, Floats], Floats]] = {
        "ap": metrics.average_precision_of,
        "roc_auc": metrics.roc_auc_of,
    }
    for rate in rates:
        figures[rate_name(rate)] = partial(metrics.recall_at_rate_of, rate=rate)
    parts: dict[str, list[Floats]] = {name: [] for name in figures}
    for first in range(0, len(draws.counts), step):
        runs = ranking.runs(draws.counts[first : first + step], draws.unit)
        for name, figure in figures.items():
            parts[name].append(figure(*runs))
    return {name: Sample(np.concatenate(values)) for name, values in parts.items()}


def card_precision_sample(
    labels: Bools, scores: Floats, cards: Ints, days: Ints, *, k: int, resamples: int, seed: int
) -> Sample:
    """Card precision at ``k`` on the data and on each resample; always of cards, whatever else is drawn."""
    ranked = metrics.CardDays.of(labels, scores, cards, days)
    return Sample(metrics.card_precision_of(ranked, k, Draws.of(cards, resamples, seed).counts))


def threshold_samples(
    labels: Bools, alerted: Bools, amounts: Ints, draws: Draws, *, review_cost: float, recovered_share: float
) -> dict[str, Sample]:
    """Precision, recall, F1 and money at a threshold, on the data and on each resample.

    Args:
        labels: bool (n,).
        alerted: bool (n,).
        amounts: minor units, int (n,).
        draws: the resamples.
        review_cost: of one alert, minor units.
        recovered_share: share of a caught fraud's amount that is not lost.

    Returns:
        What :func:`fraudline.model.metrics.threshold_figures` names.
    """
    sums = draws.sums(metrics.threshold_columns(labels, alerted, amounts))
    return {
        name: Sample(values) for name, values in metrics.threshold_figures(sums, review_cost, recovered_share).items()
    }


def units(by: Literal["card", "transaction"], cards: Ints) -> Ints:
    """The unit of each row: its card, or the row itself."""
    return cards if by == "card" else np.arange(len(cards))


def too_few(document: Mapping[str, Any]) -> str:
    """For a page: why no figure of ``metrics.json``, or of a comparison, has an interval; empty where they have."""
    by_card = document.get("bootstrap", {}).get("unit", "card") == "card"
    column, things = ("cards", "cards") if by_card else ("rows", "transactions")
    there = document.get(column, LEAST_UNITS)
    return f" Too few {things} for an interval: {there}, and not {LEAST_UNITS}." if there < LEAST_UNITS else ""


def rate_name(rate: float) -> str:
    """The figure's name for an alert rate: ``recall_at_0.5pct`` for 0.005."""
    return f"recall_at_{rate * 100:g}pct"
