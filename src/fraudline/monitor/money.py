"""Two thresholds on live traffic: what their difference is worth, by evidence that stays valid however often one looks.

A card is drawn for one of two arms, anew each week (:func:`second_arm`): every card and week is a coin toss of its own.
With m the money that an arm's decisions saved on a card in a week and p the share of arm B, the unit's ``m / p`` in B
and ``-m / (1 - p)`` in A has the mean that B saves more than A would have on it (Horvitz and Thompson, JASA 47, 1952).
Over units in the order of their weeks runs a confidence sequence: an interval that covers the mean of all
units so far at *every* moment with probability 1 - alpha (asymptotically, with nothing assumed but a variance:
Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Annals of Statistics 52, 2024, theorem 2.2). So whoever stops when it
leaves zero out is wrong with probability alpha at most, peeking included.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.monitor.selection import place

WEEK_US = 7 * DAY_US
LEAST_UNITS = 100
"""Units before which nothing is said: the sequence is asymptotic."""
_TIGHTEST_AT = 2_000
"""Units at which the interval is tightest; it is valid at all."""


def second_arm(card: str, event_time_us: int, share: float) -> bool:
    """Whether a card is decided by the second thresholds in the week of an event."""
    return place(card, f"thresholds {event_time_us // WEEK_US}") < share


@dataclass(frozen=True, slots=True)
class Running:
    """The difference after each unit: mean a unit and its interval, each (t,)."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def decided(self) -> NDArray[np.bool_]:
        """(t,) whether the interval leaves zero out."""
        return np.asarray((self.low > 0) | (self.high < 0))


def difference(money: NDArray[np.float64], second: NDArray[np.bool_], share: float, *, alpha: float) -> Running:
    """What the second arm saves more than the first, a unit.

    Args:
        money: (t,) what the decisions on each unit saved, in the order of time.
        second: (t,) bool, the unit's arm.
        share: of the second arm, in (0, 1).
        alpha: probability that the interval ever misses.
    """
    values = np.where(second, money / share, -money / (1 - share))
    t = np.arange(1, len(values) + 1, dtype=np.float64)
    mean = np.cumsum(values) / t
    spread = np.sqrt(np.maximum(np.cumsum(values**2) / t - mean**2, 0.0))
    log = -2 * np.log(alpha)
    rho2 = (log + np.log(log + 1)) / _TIGHTEST_AT
    width = spread * np.sqrt(2 * (t * rho2 + 1) / (t**2 * rho2) * np.log(np.sqrt(t * rho2 + 1) / alpha))
    width[: LEAST_UNITS - 1] = np.inf
    return Running(mean, mean - width, mean + width)
