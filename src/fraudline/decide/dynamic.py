"""Thresholds that follow the scores: a controller with bounds, a step limit and a dead band. Pure: nothing is written.

The alert rate of a model moves with its traffic. The controller looks at the newest scores, asks which threshold would
have kept the budget on them, and goes there by at most one step, never outside its bounds. The bounds also hold off
whoever floods the stream with high scores so that the threshold rises over a fraud. Where the rate is within its
tolerance, or within what chance gives at that number of alerts, nothing is changed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UsageError
from fraudline.decide.threshold_log import Bounds
from fraudline.model.thresholds import DynamicParams, ThresholdParams, Thresholds, budget

_CHANCE_SD = 2.0
"""Standard deviations of a Poisson count that are put down to chance."""

Why = Literal["few scores", "within tolerance", "to the budget", "one step", "at the bound"]


@dataclass(frozen=True, slots=True)
class Move:
    """What happens to one threshold.

    Attributes:
        old: before.
        new: after; equal to ``old`` when it stays.
        wanted: what would have kept the budget on the window.
        rate: share of the window at or above ``old``.
        rate_after: share of the window at or above ``new``.
        budget: share that may be.
        why: what decided.
    """

    old: float
    new: float
    wanted: float
    rate: float
    rate_after: float
    budget: float
    why: Why


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The outcome for both thresholds."""

    thresholds: Thresholds
    bounds: Bounds
    review: Move
    block: Move
    scores: int

    @property
    def changed(self) -> bool:
        """Whether a threshold moves."""
        return self.review.new != self.review.old or self.block.new != self.block.old

    def why(self) -> str:
        """The reason in words."""
        parts = [
            f"{name} alerted {move.rate:.3%} of {self.scores:,} scores for a budget of {move.budget:.3%}: {move.why}"
            for name, move in (("review", self.review), ("block", self.block))
        ]
        return "; ".join(parts)


def bounds_of(packaged: Thresholds, params: DynamicParams) -> Bounds:
    """Lowest and highest score of each threshold, from what the model was packaged with.

    Raises:
        UsageError: a packaged threshold is not above 0, so a share of it bounds nothing.
    """
    if packaged.review <= 0:
        raise UsageError(
            f"The packaged review threshold is {packaged.review:g}; bounds are shares of a score above 0.",
            "Choose thresholds by training again.",
        )
    low, high = params.lowest, params.highest
    return Bounds(
        review=(packaged.review * low, packaged.review * high), block=(packaged.block * low, packaged.block * high)
    )


def adjust(
    current: Thresholds, packaged: Thresholds, scores: NDArray[np.float32], params: ThresholdParams
) -> Adjustment:
    """Where the thresholds go after the newest scores.

    Args:
        current: the thresholds that hold.
        packaged: those that the model came with: the bounds and the step are shares of them.
        scores: (n,) float32, the newest scores, every transaction, in any order.
        params: ``review_rate`` and ``block_rate`` are the budgets; ``dynamic`` has window, step and bounds.

    Returns:
        New thresholds (the current ones when nothing moves), the bounds and what decided.

    Raises:
        UsageError: bounds cannot be made.
    """
    dynamic = params.dynamic
    bounds = bounds_of(packaged, dynamic)
    review = _move(current.review, packaged.review, bounds.review, scores, params.review_rate, dynamic)
    block = _move(current.block, packaged.block, bounds.block, scores, params.block_rate, dynamic)
    thresholds = current
    if review.new != review.old or block.new != block.old:
        figures = {"review_rate": params.review_rate, "block_rate": params.block_rate}
        thresholds = Thresholds.of(review.new, max(review.new, block.new), {"name": "dynamic", **figures})
    return Adjustment(thresholds, bounds, review, block, len(scores))


def _move(
    old: float,
    packaged: float,
    bounds: tuple[float, float],
    scores: NDArray[np.float32],
    rate: float,
    params: DynamicParams,
) -> Move:
    n = len(scores)
    alerts = int(np.count_nonzero(scores >= np.float32(old)))
    if n < params.min_scores:
        now = alerts / max(n, 1)
        return Move(old, old, old, now, now, rate, "few scores")
    expected = rate * n
    allowed = max(params.tolerance * expected, _CHANCE_SD * float(np.sqrt(expected)))
    if abs(alerts - expected) <= allowed:
        return Move(old, old, old, alerts / n, alerts / n, rate, "within tolerance")
    wanted = budget(scores, rate)
    step = params.max_step * packaged
    stepped = min(max(wanted, old - step), old + step)
    new = min(max(stepped, bounds[0]), bounds[1])
    why: Why = "at the bound" if new != stepped else "one step" if stepped != wanted else "to the budget"
    after = int(np.count_nonzero(scores >= np.float32(new)))
    return Move(old, new, wanted, alerts / n, after / n, rate, why)
