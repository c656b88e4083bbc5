"""Figures of decisions where the decision itself hides the truth: a blocked transaction never gets a chargeback.

A small share p of the transactions that would be blocked passes to review instead, drawn by a hash of the transaction's
id; somebody looks at them, so their label is known. Each stands for 1/p of its like (Horvitz and Thompson, JASA 47,
1952): sums over these weights are unbiased for sums over all that would have been blocked. Without such a share nothing
can be said of what was blocked, and the figures are of the rest; that is said, too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fraudline.core.digest import sha256_bytes

SAMPLE = "review sample"
"""What the draw of the reviewed share is for: another purpose draws independently."""
_DIGITS = 13  # hexadecimal ones: 52 bits, what a float holds


def place(name: str, purpose: str) -> float:
    """Where a name falls in [0, 1); the same name and purpose always give the same place."""
    return int(sha256_bytes(f"{purpose} {name}".encode())[:_DIGITS], 16) / float(16**_DIGITS)


def drawn(name: str, share: float, purpose: str) -> bool:
    """Whether a name falls into a share; the same name and purpose always give the same answer."""
    return place(name, purpose) < share


@dataclass(frozen=True, slots=True)
class Judged:
    """n decisions whose label has matured.

    Attributes:
        fraud: (n,) bool, as known; of a blocked one without a verdict it means nothing.
        stopped: (n,) bool, reviewed or blocked, or drawn to be reviewed instead.
        blocked: (n,) bool, really blocked.
        sampled: (n,) float, the share that a row was drawn with; 0 where it was not drawn.
        cards: (n,) int, what resamples draw.
    """

    fraud: NDArray[np.bool_]
    stopped: NDArray[np.bool_]
    blocked: NDArray[np.bool_]
    sampled: NDArray[np.float64]
    cards: NDArray[np.int64]

    def weights(self) -> NDArray[np.float64]:
        """(n,) what each row stands for: 0 for a blocked one, 1/p for a drawn one, 1 for any other."""
        drawn_ones = np.divide(1.0, self.sampled, out=np.ones(len(self.sampled)), where=self.sampled > 0)
        return np.where(self.blocked, 0.0, drawn_ones)

    def columns(self) -> NDArray[np.float64]:
        """(n, 3) weighted: frauds that were stopped, all that was stopped, all frauds. Their sums give the figures."""
        weight = self.weights()
        return np.column_stack([weight * (self.fraud & self.stopped), weight * self.stopped, weight * self.fraud])
