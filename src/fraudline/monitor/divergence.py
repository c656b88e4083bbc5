"""How far apart two histograms over the same bins lie: effect sizes, which say how much and not how surely.

The population stability index is the sum of (p - q) ln(p / q) (Siddiqi, Credit Risk Scorecards, 2006), the
Jensen-Shannon divergence is in bits (Lin, IEEE Transactions on Information Theory 37, 1991), Wasserstein's distance of
order 1 is in standard deviations of the reference.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FLOOR = 1e-4
"""A share below it counts as this much: an empty bin would make the index infinite."""


def psi(observed: Floats, expected: Floats) -> float:
    """Population stability index of two vectors of shares.

    >>> round(psi(np.array([0.5, 0.5]), np.array([0.4, 0.6])), 4)
    0.0405
    """
    p, q = np.maximum(observed, FLOOR), np.maximum(expected, FLOOR)
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(observed: Floats, expected: Floats) -> float:
    """Jensen-Shannon divergence in bits, from 0 to 1.

    >>> jensen_shannon(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    1.0
    """
    middle = (observed + expected) / 2
    return (_relative(observed, middle) + _relative(expected, middle)) / 2


def wasserstein(observed: Floats, at: Floats, expected: Floats, centres: Floats, sd: float) -> float:
    """Wasserstein distance of order 1 between two sets of weighted points, in units of ``sd``.

    Args:
        observed: (k,) shares, one a bin.
        at: (k,) where they lie: mean of the bin's values.
        expected: (m,) shares of the reference.
        centres: (m,) where those lie.
        sd: what to measure in; 0 counts as 1.
    """
    points = np.concatenate([at, centres])
    weights = np.concatenate([observed, -expected])
    order = np.argsort(points, kind="stable")
    gaps = np.diff(points[order])
    return float(np.abs(np.cumsum(weights[order])[:-1]) @ gaps) / (sd or 1.0)


def deviance(observed: Floats, expected: Floats) -> Floats:
    """Twice the relative entropy of shares to expected shares, in nats, along the last axis: what a row contributes.

    Args:
        observed: (..., k) shares.
        expected: (..., k) shares.
    """
    q = np.maximum(expected, 1e-9)
    p = np.maximum(observed, 1e-300)
    return np.asarray(2 * (np.where(observed > 0, observed * np.log(p / q), 0.0) - observed + q).sum(axis=-1))


def _relative(p: Floats, q: Floats) -> float:
    some = p > 0
    return float((p[some] * np.log2(p[some] / q[some])).sum())
