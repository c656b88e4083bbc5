"""Decisions: thresholds applied to scores.

Use it as ``DECISIONS[decide(scores, artifact.thresholds)[0]]``: ``"allow"``, ``"review"`` or ``"block"``.
"""

import numpy as np
from numpy.typing import NDArray

from fraudline.model.thresholds import Thresholds

__all__ = ["ALLOW", "BLOCK", "DECISIONS", "REVIEW", "Thresholds", "decide", "threshold_of"]

DECISIONS = ("allow", "review", "block")
ALLOW, REVIEW, BLOCK = range(3)


def decide(scores: NDArray[np.float32], thresholds: Thresholds) -> NDArray[np.int8]:
    """The decision for each score; a score at the threshold triggers it.

    Thresholds are compared in float32, as they were chosen, so that a score equal to one triggers it everywhere.

    Args:
        scores: (n,) float32, high = anomalous.
        thresholds: the model's.

    Returns:
        (n,) int8, an index into ``DECISIONS``.
    """
    review, block = np.float32(thresholds.review), np.float32(thresholds.block)
    return (scores >= review).astype(np.int8) + (scores >= block).astype(np.int8)


def threshold_of(decision: int, thresholds: Thresholds) -> float:
    """The threshold to state beside a decision: the one it reached, or for an allowed one the next it did not."""
    return thresholds.block if decision == BLOCK else thresholds.review
