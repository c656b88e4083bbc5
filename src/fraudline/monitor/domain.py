"""A classifier between the reference's rows and the window's: what no single feature shows.

    found = separation(reference_rows, window_rows, seed=1)
    found.auc, found.p_value

Where a discriminant on ranks and on pairs of them tells the two apart on rows that it did not learn from, several
features together have moved (the classifier two-sample test: Lopez-Paz and Oquab, ICLR 2017). How well it tells one
ordinary day from the others is measured on the reference's own days, so that what days differ by is not drift. Features
that follow the calendar tell every day from the others and are to be left out. An area ends at 1, so areas are compared
by their logit, on which one near 1 lies far from those of ordinary days.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.monitor.calibration import LEAST_DAYS, Calibration
from fraudline.monitor.histograms import strata_of

Floats = NDArray[np.float64]

_FOLDS = 2
_NULL_DAYS = 24
"""Days of the reference that are told from the others: more would cost more than they teach."""
_ROWS = 4_000
_LEAST_ROWS = 20
"""Rows of the window at hours that the reference has, below which nothing is said."""
_COSINES, _TOGETHER, _PITCH, _RIDGE = 160, 2, 2.0, 0.3


@dataclass(frozen=True)
class Separation:
    """How well the window is told from the reference.

    Attributes:
        auc: area under the ROC curve, 0.5 where it is not.
        ordinary: the mean of the reference's own days.
        p_value: chance that an ordinary day is told as well.
        rows: of the window, that were looked at.
    """

    auc: float
    ordinary: float
    p_value: float
    rows: int


@dataclass(frozen=True)
class Sample:
    """Rows with their times: (n,) µs since the epoch, (n, d) values."""

    times_us: NDArray[np.int64]
    values: NDArray[np.float32]

    def only(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> "Sample":
        """Some of them."""
        return Sample(self.times_us[rows], self.values[rows])

    def __len__(self) -> int:
        return len(self.times_us)


def separation(reference: Sample, window: Sample, *, seed: int) -> Separation | None:
    """Measure it.

    Args:
        reference: rows of the reference's days, of features that do not follow the calendar.
        window: rows of the window with the same features, as many as a day of the reference has.
        seed: of folds and samples.

    Returns:
        None where the reference has too few days, or too few rows at the window's hours.
    """
    days = reference.times_us // DAY_US
    known = np.unique(days)
    if len(known) < LEAST_DAYS or not len(window):
        return None
    rng = np.random.default_rng(seed)
    every = [
        _auc(reference.only(days != day), reference.only(days == day), rng)
        for day in rng.permutation(known)[:_NULL_DAYS].tolist()
    ]
    ordinary = np.array([area for area in every if area is not None])
    auc = _auc(reference, window, rng)
    if auc is None or len(ordinary) < LEAST_DAYS:
        return None
    calibration = Calibration.of(_logit(ordinary, len(window))[:, None])
    p_value = float(calibration.p_values(_logit(np.array([auc]), len(window)))[0])
    return Separation(auc, float(ordinary.mean()), p_value, len(window))


class Drawn:
    """A draw among rows that come in pieces, in which every row of the days asked for has the same chance.

    A row gets a random key; of each day those with the smallest keys are kept, which hold the smallest of any days.

    Args:
        rows: to draw at most, and to keep of each day.
        seed: of the keys.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self._rows, self._rng = rows, np.random.default_rng(seed)
        self._keys, self._held = np.empty(0), Sample(np.empty(0, np.int64), np.empty((0, 0), np.float32))

    def add(self, piece: Sample) -> None:
        """Take a piece: any rows in any order."""
        keys = np.concatenate([self._keys, self._rng.random(len(piece))])
        held = self._held
        times = np.concatenate([held.times_us, piece.times_us])
        by_day = np.lexsort((keys, times // DAY_US))
        days = times[by_day] // DAY_US
        place = np.arange(len(days)) - np.searchsorted(days, days)
        kept = by_day[place < self._rows]
        values = np.concatenate([held.values, piece.values]) if len(held) else piece.values
        self._keys, self._held = keys[kept], Sample(times[kept], values[kept])

    def since(self, day: int) -> Sample:
        """The draw among the rows of a day (since the epoch) and of later ones."""
        later = np.flatnonzero(self._held.times_us // DAY_US >= day)
        return self._held.only(later[np.argsort(self._keys[later])[: self._rows]])


def thinned(sample: Sample, rows: int, rng: np.random.Generator) -> Sample:
    """At most ``rows`` of it."""
    return sample if len(sample) <= rows else sample.only(np.sort(rng.choice(len(sample), rows, replace=False)))


def _logit(areas: Floats, rows: int) -> Floats:
    """No area counts for nearer to 0 or 1 than a row of the window is worth."""
    kept = np.clip(areas, 1 / rows, 1 - 1 / rows)
    return np.asarray(np.log(kept / (1 - kept)))


def _auc(reference: Sample, window: Sample, rng: np.random.Generator) -> float | None:
    """Out of fold; the reference is weighed to the window's hours and weekdays. None: it has too few rows there."""
    reference = thinned(reference, _ROWS, rng)
    window = window.only(np.isin(strata_of(window.times_us), strata_of(reference.times_us)))
    if len(window) < _LEAST_ROWS:
        return None
    other = np.repeat([False, True], [len(reference), len(window)])
    strata = np.concatenate([strata_of(reference.times_us), strata_of(window.times_us)])
    here = np.bincount(strata[other], minlength=strata.max() + 1) / other.sum()
    there = np.bincount(strata[~other], minlength=strata.max() + 1)
    weight = np.where(other, 1 / other.sum(), here[strata] / np.maximum(there[strata], 1))
    mapped = _mapped(np.concatenate([reference.values, window.values]))
    fold = rng.integers(0, _FOLDS, len(other))
    areas = []
    for number in range(_FOLDS):
        learn, judge = fold != number, fold == number
        if not (weight[learn & ~other].any() and weight[judge & ~other].any()):
            return None
        said = mapped[judge] @ _direction(mapped[learn], other[learn], weight[learn])
        areas.append(_area(said, other[judge], weight[judge]))
    return float(np.mean(areas))


def _mapped(values: NDArray[np.float32]) -> Floats:
    """Ranks in [-1, 1] of each feature, and cosines of random directions of them (Rahimi and Recht, NIPS 2007)."""
    n, d = values.shape
    ranks = np.column_stack([ranks_of(column) for column in np.nan_to_num(values, nan=-np.inf).T]) / n * 2 - 1
    rng = np.random.default_rng(0)
    chosen = np.zeros((d, _COSINES))
    for column in range(_COSINES):
        chosen[rng.choice(d, min(_TOGETHER, d), replace=False), column] = rng.choice([-1.0, 1.0], min(_TOGETHER, d))
    return np.hstack([ranks, np.cos(ranks @ chosen * _PITCH + rng.uniform(0, 2 * np.pi, _COSINES))])


def ranks_of(column: NDArray[np.floating]) -> Floats:
    """Ranks of n numbers, 0 to n. Those of equal values are equal: the order of rows must not tell where they are from.

    >>> ranks_of(np.array([7.0, 5.0, 5.0])).tolist()
    [2.5, 1.0, 1.0]
    """
    ordered = np.sort(column)
    return np.asarray((np.searchsorted(ordered, column, "left") + np.searchsorted(ordered, column, "right")) / 2)


def _direction(mapped: Floats, other: NDArray[np.bool_], weight: Floats) -> Floats:
    """Fisher's discriminant with a ridge."""
    means, spread = [], np.zeros((mapped.shape[1], mapped.shape[1]))
    for side in (True, False):
        share = weight[other == side] / weight[other == side].sum()
        rows = mapped[other == side]
        means.append(share @ rows)
        centred = rows - means[-1]
        spread += (centred * share[:, None]).T @ centred
    ridge = _RIDGE * np.trace(spread) / len(spread)
    return np.asarray(np.linalg.solve(spread + ridge * np.eye(len(spread)), means[0] - means[1]))


def _area(said: Floats, other: NDArray[np.bool_], weight: Floats) -> float:
    """Weighted area under the ROC curve."""
    order = np.argsort(said, kind="stable")
    positive, negative = np.where(other, weight, 0)[order], np.where(other, 0, weight)[order]
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / (positive.sum() * negative.sum()))
