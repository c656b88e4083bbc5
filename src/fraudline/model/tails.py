"""How rare a value this large is among known normals: the one-sided term beside the autoencoder.

An autoencoder reconstructs a large amount well, so that it does not see it. The rarity of feature i at x is the number
of decades −log₁₀ P(X_i ≥ x), taken from the empirical tail of the known normals, and beyond their largest value from a
generalised Pareto tail (method of moments over the 99.5 % quantile, shape not below that of an exponential tail), which
rises until the cap of nine decades. It is a piecewise-linear, never falling function of x, so the graph holds it as a
table of ramps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEVELS = np.array([0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0])  # decades at which the empirical tail is held
_BODY = (0.5,)
WHOLE_BODY = (0.0, 0.05, 0.2, 0.35, 0.5)
"""``body`` for a curve that grows from the smallest value on, so that it ranks all rows."""
_BEYOND = np.array([0.01, 1.0, 3.0, 10.0, 30.0, 100.0])  # mean excesses beyond the largest normal
_NEWNESS = 0.3  # decades that a value beyond every normal adds at once
_CAP = 9.0  # decades
_TAIL = 0.995


@dataclass(frozen=True, slots=True)
class Tails:
    """Ramps of t tail features: rarity_i(x) = Σ_k rise_ik · clip((x_i − edge_ik) / width_ik, 0, 1).

    Attributes:
        columns: (t,) int32, which features.
        edge: (t, k) float32, where each ramp begins, in the feature's own unit.
        width: (t, k) float32, above 0.
        rise: (t, k) float32, decades, not negative.
    """

    columns: NDArray[np.int32]
    edge: NDArray[np.float32]
    width: NDArray[np.float32]
    rise: NDArray[np.float32]

    @classmethod
    def learn(cls, features: NDArray[np.float32], columns: Sequence[int], body: Sequence[float] = _BODY) -> "Tails":
        """Learn the tails of ``columns`` from known normals, (n, d) float32 raw features.

        Args:
            features: known normals.
            columns: which features.
            body: quantiles below the tail at which the curve is held too; it is 0 up to the first.
        """
        ramps = [_ramps(features[:, column].astype(np.float64), body) for column in columns]
        longest = max((len(edge) for edge, _, _ in ramps), default=0)
        edge, width, rise = (np.full((len(ramps), longest), value, np.float32) for value in (0.0, 1.0, 0.0))
        for row, parts in enumerate(ramps):
            for target, values in zip((edge, width, rise), parts, strict=True):
                target[row, : len(values)] = values
        return cls(np.array(columns, np.int32), edge, width, rise)

    def rarity(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decades, (n, t) float32: what the graph computes, in NumPy."""
        x = features[:, self.columns][:, :, None]
        with np.errstate(over="ignore"):  # further out than float32 reaches is the end of the ramp
            ramps = np.clip((x - self.edge) / self.width, 0.0, 1.0) * self.rise
        return np.asarray(ramps.sum(axis=2), np.float32)


def _ramps(
    values: NDArray[np.float64], body: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Edges, widths and rises for one feature; none when it never varies."""
    ranked = np.sort(values)
    n = len(ranked)
    if ranked[-1] - ranked[0] <= 1e-6 * max(abs(ranked[0]), abs(ranked[-1]), 1e-6):
        return np.zeros(0), np.ones(0), np.zeros(0)
    levels = _LEVELS[np.log10(n) - 1 > _LEVELS]
    knots = np.unique(np.r_[np.quantile(ranked, np.r_[list(body), 1 - 10.0**-levels], method="lower"), ranked[-1]])
    decades = -np.log10((n - np.searchsorted(ranked, knots, side="left")) / n)
    decades[0] = 0.0
    over, rarer = _beyond(ranked)
    knots = np.r_[knots, ranked[-1] + over].astype(np.float32).astype(np.float64)
    decades = np.minimum(np.r_[decades, np.log10(n) + _NEWNESS + rarer], _CAP)
    width, rise = np.diff(knots), np.diff(decades)
    kept = (width > 0) & (rise > 0)
    return knots[:-1][kept], width[kept], rise[kept]


def _beyond(ranked: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far beyond the largest normal, in the feature's unit, and how many more decades that is."""
    start = np.quantile(ranked, _TAIL)
    excess = ranked[ranked > start] - start
    if len(excess) < 2 or excess.var() <= 0:
        scale, shape = float(ranked.std()), 0.0
        reached = 0.0
    else:
        mean, variance = float(excess.mean()), float(excess.var())
        shape = max(0.5 * (1 - mean**2 / variance), 0.0)  # a negative one ends, often below the largest normal
        scale = mean * (1 - shape)
        reached = float(excess[-1])
    distance: NDArray[np.float64] = scale * _BEYOND
    rarer = _survival(reached + distance, scale, shape) - _survival(reached, scale, shape)
    return distance, rarer


def _survival(excess: NDArray[np.float64] | float, scale: float, shape: float) -> NDArray[np.float64]:
    """−log₁₀ of the generalised Pareto survival at an excess; ``shape`` is not negative."""
    relative: NDArray[np.float64] = np.asarray(excess, np.float64) / scale
    if abs(shape) < 1e-3:
        return np.asarray(relative / np.log(10))
    return np.asarray(np.log10(1 + shape * relative) / shape)
