"""What a figure does on the reference's own days, and how unusual a new value of it is.

Every day of the reference is taken out in turn and compared with the others, exactly as a window will be: that is what
chance, the cards that repeat and ordinary days do. Many figures are looked at together, so what counts is the largest
of them on each day (Westfall and Young, Resampling-Based Multiple Testing, 1993): the false-alarm rate holds for the
whole family, however the figures depend on each other. Within the range of the reference the p-value is the rank, as in
conformal prediction (Vovk et al., 2005); beyond it a generalised Pareto tail goes on (Siffer et al., KDD 2017) with a
fixed, heavy shape, because some fifty days cannot tell one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEAST_DAYS = 14
"""Days of reference below which nothing is said."""
SHAPE = 0.15
"""Of the tail. Larger is more careful: a normal variable's is 0, those of financial returns lie about 0.2."""
_TAIL = 0.75


@dataclass(frozen=True)
class Calibration:
    """Location and spread of d figures on b days, and the largest standardised one of each day.

    Attributes:
        mean: (d,).
        sd: (d,).
        largest: (b,) ascending.
    """

    mean: Floats
    sd: Floats
    largest: Floats

    @classmethod
    def of(cls, values: Floats) -> "Calibration":
        """Calibrate.

        Args:
            values: (b, d) the figures of each day taken out.
        """
        b = len(values)
        total, squares = values.sum(axis=0), (values**2).sum(axis=0)
        mean_without = (total - values) / (b - 1)
        variance = np.maximum((squares - values**2) / (b - 1) - mean_without**2, 0.0)
        spread = np.maximum(np.sqrt(variance), _least(values))
        return cls(
            values.mean(axis=0),
            np.maximum(values.std(axis=0), _least(values)),
            np.sort(((values - mean_without) / spread).max(axis=1)),
        )

    def standardised(self, values: Floats) -> Floats:
        """(d,) how many standard deviations above the mean of the reference's days."""
        return np.asarray((values - self.mean) / self.sd)

    def p_values(self, values: Floats) -> Floats:
        """(d,) how often chance alone makes the largest of all figures at least as large: adjusted for their number."""
        return np.array([tail(self.largest, score) for score in self.standardised(values).tolist()])


def tail(largest: Floats, score: float) -> float:
    """How often a day's largest figure is at least ``score``.

    Args:
        largest: (b,) ascending, of the reference's days.
        score: of a window.
    """
    b = len(largest)
    rank = (1 + int(np.count_nonzero(largest >= score))) / (b + 1)
    start = int(_TAIL * b)
    u = float(largest[start])
    if score <= u:
        return rank
    excess = max(float((largest[start + 1 :] - u).mean()), 0.1)
    share = (b - start) / (b + 1)
    beyond = share * (1 + SHAPE * (score - u) / excess) ** (-1 / SHAPE)
    return float(beyond if score > largest[-1] else max(rank, beyond))


def _least(values: Floats) -> Floats:
    """A spread that rounding alone could make is none."""
    return np.asarray(np.maximum(1e-9, 1e-6 * np.abs(values).max(axis=0)))
