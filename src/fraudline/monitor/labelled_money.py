"""What matured decisions were worth, by currency: frauds stopped and missed, good transactions held up.

    money = labelled_money(judged, amounts)
    money["EUR"]["stopped"]           # minor units

Rows weigh as in :mod:`fraudline.monitor.selection`: what was blocked has no label and is in no sum but its own, a drawn
one stands for its like. Amounts of different currencies are never added.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.monitor.selection import Judged

OUTCOMES = ("stopped", "missed", "held_up", "blocked")
"""Frauds that were alerted, frauds that were not, normals that were alerted, and what was blocked, whatever it was."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """n amounts, each in its own currency.

    Attributes:
        minor: (n,) int64, minor units; 0 where it is not known.
        currencies: (n,) str, ISO 4217; empty where the amount is not known.
    """

    minor: NDArray[np.int64]
    currencies: NDArray[np.str_]

    @classmethod
    def of(cls, known: Sequence[tuple[int, str] | None]) -> "Amounts":
        """Of pairs of minor units and currency; None for what is not known."""
        pairs = [pair or (0, "") for pair in known]
        return cls(np.array([minor for minor, _ in pairs], np.int64), np.array([code for _, code in pairs], np.str_))

    def only(self, rows: NDArray[np.bool_]) -> "Amounts":
        """Some of the rows."""
        return Amounts(self.minor[rows], self.currencies[rows])


def labelled_money(judged: Judged, amounts: Amounts) -> dict[str, dict[str, int]]:
    """By currency, in order of its name, the sum of each of :data:`OUTCOMES`, minor units.

    Args:
        judged: n decisions.
        amounts: theirs.
    """
    columns = np.column_stack([outcome_columns(judged, amounts), np.where(judged.blocked, amounts.minor, 0)])
    found = {}
    for code in sorted(set(amounts.currencies.tolist()) - {""}):
        sums = columns[amounts.currencies == code].sum(axis=0)
        found[code] = {name: round(float(total)) for name, total in zip(OUTCOMES, sums, strict=True)}
    return found


def outcome_columns(judged: Judged, amounts: Amounts) -> NDArray[np.float64]:
    """(n, 3) weighted minor units of each row as a fraud stopped, a fraud missed, a normal held up."""
    weight, fraud, stopped = judged.weights() * amounts.minor, judged.fraud, judged.stopped
    return np.column_stack([weight * (fraud & stopped), weight * (fraud & ~stopped), weight * (~fraud & stopped)])


def unknown_amounts(judged: Judged, amounts: Amounts) -> int:
    """Rows that would be in a sum and whose amount is not known."""
    return int(((judged.fraud | judged.stopped | judged.blocked) & (amounts.currencies == "")).sum())
