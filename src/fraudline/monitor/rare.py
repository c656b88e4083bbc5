"""How often single values, or narrow ranges of them, are met: what a divergence over all bins is too blunt for.

A flag that stands still, or a fraud that a hundredth of the traffic is, moves one bin by a factor and an index over
twenty bins hardly. The figure of a bin is the difference of the square roots of its observed and expected counts,
which has a spread of about one where transactions are independent (Anscombe, Biometrika 35, 1948). They are not: each
day of the reference, and each block of as many days as the window has, is taken out and compared with the others, and
the spread found there is the unit. Counts of several days add up, so a small change becomes sure with time, but only as
far as such blocks of the reference agree with each other. What changes slowly (cards grow older) has gone further when
a window lies long after the reference, so the slow part of the spread grows with that distance.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fraudline.monitor.calibration import tail

Floats = NDArray[np.float64]
_LEAST_SPREAD = 1.0
"""That of independent transactions."""
_BLOCKS = 4
"""Blocks that the reference must have of the longest window that is taken at its length."""
_PART = 0.2
"""Of a day, that a window may be longer without counting as a day more."""


class RareValues:
    """The reference's spread, learned once.

    Args:
        observed: (b, width) counts of each day.
        expected: (b, width) counts that the other days let expect at that day's hours.
        judged: (width,) the bins that count.
        a_day: rows of an ordinary day.
    """

    def __init__(self, observed: Floats, expected: Floats, judged: NDArray[np.bool_], a_day: float) -> None:
        self._observed, self._expected, self._judged, self._a_day = observed, expected, judged, a_day
        self._spreads: dict[int, Floats] = {}

    def deviations(self, shares: Floats, expected: Floats, rows: float, ahead: float) -> Floats:
        """How many spreads each bin of a window lies from what was expected, (width,); 0 where it is not judged.

        Args:
            shares: (width,) of the window.
            expected: (width,) shares that the reference lets expect.
            rows: of the window.
            ahead: days from the reference's end to the window.
        """
        days = min(max(int(np.ceil(rows / self._a_day - _PART)), 1), max(len(self._observed) // _BLOCKS, 1))
        scale = min(rows, (days + _PART) * self._a_day)
        found = np.abs(_difference(shares * scale, expected * scale)) / self._spread_ahead(days, ahead)
        return np.where(self._judged, found, 0.0)

    def p_values(self, deviations: Floats) -> Floats:
        """How often a day's most unusual bin is at least as unusual."""
        return np.array([tail(self._largest, each) for each in deviations.tolist()])

    @cached_property
    def _largest(self) -> Floats:
        days = np.abs(_difference(self._observed, self._expected)) / self._spread(1)
        return np.sort(days[:, self._judged].max(axis=1))

    def _spread_ahead(self, days: int, ahead: float) -> Floats:
        """The spread of a block that lies ``ahead`` days after the reference.

        What a block differs by from its neighbour comes and goes (von Neumann, Ann. Math. Statist. 12, 1941); the rest
        of the variance is slow, and grows by as much again in as many days as the reference has.
        """
        total = self._spread(days) ** 2
        blocks = self._off(days)
        quick = np.minimum(((blocks[days:] - blocks[:-days]) ** 2).mean(axis=0) / 2, total)
        return np.asarray(np.sqrt(quick + (total - quick) * (1 + ahead / len(self._observed))))

    def _spread(self, days: int) -> Floats:
        if days not in self._spreads:
            own = (days - 1) / len(self._observed)  # of what is expected of a day comes from the block's other days
            found = np.sqrt((self._off(days) ** 2).mean(axis=0)) / (1 - own)
            least = self._spread(1) if days > 1 else np.full(found.shape, _LEAST_SPREAD)
            self._spreads[days] = np.maximum(found, least)
        return self._spreads[days]

    def _off(self, days: int) -> Floats:
        """How far each block of as many days lies from what the other days let expect, (blocks, width)."""
        return _difference(*(_blocks(each, days) for each in (self._observed, self._expected)))


def _difference(observed: Floats, expected: Floats) -> Floats:
    return np.asarray(2 * (np.sqrt(observed + 0.375) - np.sqrt(expected + 0.375)))


def _blocks(values: Floats, days: int) -> Floats:
    """Sums of ``days`` days in a row."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    return np.asarray(total[days:] - total[:-days])
