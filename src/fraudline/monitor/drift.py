"""A window of traffic against the reference: what moved, by how much, and whether chance could have done it.

    result = compare(reference, window, MonitorParams())
    result.verdict, [figure.name for figure in result.figures if figure.drifted]

The reference is weighed to the window's hours and weekdays, so that a night or a weekend alone is not drift. How much
ordinary days differ is learned from the reference itself, for a figure's divergence as a whole
(:mod:`fraudline.monitor.calibration`) and for each of its bins (:mod:`fraudline.monitor.rare`). A figure whose level
follows the calendar already in the reference (the age of a merchant) can only move on: it is shown and not judged.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import DataError
from fraudline.monitor.calibration import LEAST_DAYS, Calibration
from fraudline.monitor.divergence import FLOOR, deviance, jensen_shannon, psi, wasserstein
from fraudline.monitor.domain import ranks_of
from fraudline.monitor.histograms import SCORE, Bins, Histograms
from fraudline.monitor.params import MonitorParams
from fraudline.monitor.rare import RareValues

Floats = NDArray[np.float64]
Verdict = Literal["stable", "drift", "inconclusive"]
TREND = 0.9
"""Rank correlation of a feature's daily mean with the date from which its level follows the calendar."""
_PRIOR = 0.5  # rows that each bin of the reference is given


@dataclass(frozen=True)
class Figure:
    """One feature, or the score, in the window and in the reference at the same hours.

    Attributes:
        name: of the feature; ``score``.
        psi: population stability index.
        jensen_shannon: bits.
        wasserstein: standard deviations of the reference.
        deviations: standard deviations between the window's divergence and that of the reference's own days.
        p_value: of the divergence, adjusted for the number of figures.
        ratio: of the window's share to the expected one in the bin that moved most surely.
        ratio_bin: which; the last one counts what is no finite number.
        ratio_p_value: of that bin, adjusted for all bins of all figures.
        mean: in the window; ``reference_mean`` in the reference at the same hours.
        missing: share of the window's values that are no finite number.
        judged: False for a figure that follows the calendar.
        drifted: sure and large enough.
        shares: of the window, by bin; ``expected`` those of the reference.
    """

    name: str
    psi: float
    jensen_shannon: float
    wasserstein: float
    deviations: float
    p_value: float
    ratio: float
    ratio_bin: int
    ratio_p_value: float
    mean: float
    reference_mean: float
    missing: float
    judged: bool
    drifted: bool
    shares: tuple[float, ...]
    expected: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """A window against the reference: its ``verdict`` and its figures, most unusual first."""

    verdict: Verdict
    why: str
    rows: int
    figures: tuple[Figure, ...]

    @property
    def drifted(self) -> tuple[Figure, ...]:
        """The figures that drifted."""
        return tuple(figure for figure in self.figures if figure.drifted)


class Reference:
    """The days that an artifact learned from, calibrated once for many windows.

    Args:
        days: their histograms.

    Raises:
        DataError: there are too few days, or every figure follows the calendar.
    """

    def __init__(self, days: Histograms) -> None:
        if len(days.days) < LEAST_DAYS:
            raise DataError(
                f"The reference has {len(days.days)} days; {LEAST_DAYS} are the least that ordinary days are known by.",
                "Train on more days.",
            )
        self.days = days
        self.bins: Bins = days.bins
        self._total = days.counts.sum(axis=0)
        self._cap = float(np.median(days.rows.sum(axis=1)))
        self.judged = ~_follows_the_calendar(days)
        if not self.judged.any():
            raise DataError(
                "Every figure of the reference rises or falls with the date, so none can be told to have drifted.",
                "Train on more days, or with features that do not only grow.",
            )
        left_out = [self._divergence(day, self._total - day) for day in days.counts]
        self.calibration = Calibration.of(np.array([divergence for divergence, _, _ in left_out])[:, self.judged])
        rows = days.rows.sum(axis=1, dtype=np.float64)[:, None]
        observed, expected = (np.array([each[place] for each in left_out], np.float64) * rows for place in (1, 2))
        sizes = [place.stop - place.start for place in days.bins.places]
        self.rare = RareValues(observed, expected, np.repeat(self.judged, sizes), self._cap)

    def compare(self, window: Histograms, params: MonitorParams) -> Comparison:
        """Judge a window with the same bins."""
        n = len(window)
        if n < params.min_rows:
            why = f"{n:,} transactions are fewer than monitor.min_rows, {params.min_rows:,}"
            return Comparison("inconclusive", why, n, ())
        counts, sums = window.counts.sum(axis=0), window.sums.sum(axis=0)
        divergence, observed, expected = self._divergence(counts, self._total)
        deviations = np.zeros(len(divergence))
        p_values = np.ones(len(divergence))
        deviations[self.judged] = self.calibration.standardised(divergence[self.judged])
        p_values[self.judged] = self.calibration.p_values(divergence[self.judged])
        ahead = max(float(_middle(window) - self.days.days[-1]), 0.0)
        unusual = self.rare.deviations(observed, expected, n, ahead)
        made = [
            self._figure(index, counts, sums, observed, expected, deviations[index], p_values[index], unusual, params)
            for index in range(len(self.bins.names))
        ]
        figures = tuple(sorted(made, key=lambda figure: (-figure.drifted, -figure.deviations)))
        moved = [figure.name for figure in figures if figure.drifted]
        if moved:
            return Comparison("drift", ", ".join(moved[:5]), n, figures)
        return Comparison("stable", "no figure moved by more than ordinary days", n, figures)

    def _divergence(self, counts: NDArray[np.int64], reference: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
        """Of (STRATA, width) counts: the figures' divergence, the observed and the expected shares.

        A cube root brings the deviance near a normal variable (Wilson and Hilferty, PNAS 17, 1931). Rows beyond those
        of an ordinary day make it no surer, because what differs from day to day does not average out within one.
        """
        rows = counts[:, self.bins.places[0]].sum(axis=1)
        n = float(rows.sum())
        observed = counts.sum(axis=0) / n
        known = reference[:, self.bins.places[0]].sum(axis=1)
        pooled = (reference.sum(axis=0) + _PRIOR) / float(known.sum())
        by_stratum = (reference + _PRIOR * pooled) / (known + _PRIOR)[:, None]
        expected = (rows / n) @ by_stratum
        scale = min(n, self._cap)
        parts = [scale * deviance(observed[at], expected[at]) for at in self.bins.places]
        return np.cbrt(np.maximum(parts, 0.0)), observed, expected

    def _figure(
        self,
        index: int,
        counts: NDArray[np.int64],
        sums: Floats,
        observed: Floats,
        expected: Floats,
        deviations: float,
        p_value: float,
        unusual: Floats,
        params: MonitorParams,
    ) -> Figure:
        name, at = self.bins.names[index], self.bins.places[index]
        o, e, total = observed[at], expected[at], counts[:, at].sum(axis=0)
        ratio = np.maximum(o, FLOOR) / np.maximum(e, FLOOR)
        large = np.maximum(ratio, 1 / ratio) >= params.ratio_min
        moved = int(np.argmax(np.where(large, 1e6, 1.0) * unusual[at]))
        ratio_p_value = float(self.rare.p_values(unusual[at][[moved]])[0])
        centres = self.bins.centres[index]
        own = np.where(total[:-1] > 0, sums[at][:-1] / np.maximum(total[:-1], 1), centres)
        size = psi(o, e)
        least = params.score_psi_min if name == SCORE else params.psi_min
        finite, known = max(o[:-1].sum(), 1e-12), max(e[:-1].sum(), 1e-12)
        judged = bool(self.judged[index])
        apart = bool(p_value <= params.of_a_test) and size >= least
        often = ratio_p_value <= params.of_a_test and bool(large[moved])
        return Figure(
            name=name,
            psi=size,
            jensen_shannon=jensen_shannon(o, e),
            wasserstein=wasserstein(o[:-1] / finite, own, e[:-1] / known, centres, self.bins.sds[index]),
            deviations=float(deviations),
            p_value=float(p_value),
            ratio=float(ratio[moved]),
            ratio_bin=moved,
            ratio_p_value=ratio_p_value,
            mean=float(o[:-1] @ own / finite),
            reference_mean=float(e[:-1] @ centres / known),
            missing=float(o[-1]),
            judged=judged,
            drifted=judged and (apart or often),
            shares=tuple(o.tolist()),
            expected=tuple(e.tolist()),
        )


def _middle(window: Histograms) -> int:
    """The day that half of the rows are of or before; a few from a clock that runs ahead do not move it."""
    rows = np.cumsum(window.rows.sum(axis=1))
    return int(window.days[np.searchsorted(rows, rows[-1] / 2)])


def _follows_the_calendar(days: Histograms) -> NDArray[np.bool_]:
    """(d,) whether the daily mean of a figure rises or falls with the date (Spearman's rank correlation)."""
    order = np.arange(len(days.days))
    rows = days.rows.sum(axis=1)
    found = []
    for at, centres in zip(days.bins.places, days.bins.centres, strict=True):
        means = days.counts[:, :, at].sum(axis=1)[:, :-1] @ centres / rows
        constant = np.ptp(means) == 0
        found.append(not constant and abs(float(np.corrcoef(order, ranks_of(means))[0, 1])) >= TREND)
    return np.array(found)
