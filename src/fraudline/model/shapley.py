"""Exact Shapley values of a tree ensemble (TreeSHAP, path-dependent), compiled.

Lundberg et al., From local explanations to global understanding with explainable AI for trees, 2020. A leaf with value
v is reached through conditions on features 1 … m; feature g has z_g, the share of training rows that pass its
conditions, and o_g, 1 if the row explained passes them and else 0. The leaf's game is v · Π_S o · Π_rest z, and by the
multilinear extension (Owen 1972) its value for f is

    φ_f = v (o_f − z_f) ∫₀¹ Π_{g≠f} ((1 − t) z_g + t o_g) dt,

a polynomial of degree m − 1, which ⌈m / 2⌉ Gauss-Legendre points integrate exactly. Nothing is sampled.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.features.compiling import cached
from fraudline.model.trees import LEAF, TreeTable


class TreeReasons:
    """Shapley values of rows. Safe to share between threads.

    Args:
        trees: the ensemble.
        width: d, the number of features.
    """

    def __init__(self, trees: TreeTable, width: int) -> None:
        self._width = width
        self._leaves = _leaves(trees)
        most = int(np.diff(self._leaves[0]).max(initial=1))
        points, weights = np.polynomial.legendre.leggauss(max(1, (most + 1) // 2))
        self._points, self._weights = (points + 1) / 2, weights / 2

    def contributions(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) float64 for (n, d) float32 rows; each row sums to its score."""
        out = np.zeros((len(rows), self._width))
        _explain(np.ascontiguousarray(rows, np.float32), *self._leaves, self._points, self._weights, out)
        return out


_Leaves = tuple[
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.int32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float64],
]


def _leaves(trees: TreeTable) -> _Leaves:
    """For each leaf its value, and for each feature on its path the open-closed interval to be in, and z."""
    starts, values = [0], []
    features: list[int] = []
    lows: list[float] = []
    highs: list[float] = []
    shares: list[float] = []
    for root in trees.roots.tolist():
        pending: list[tuple[int, dict[int, tuple[float, float, float]]]] = [(root, {})]
        while pending:
            node, path = pending.pop()
            feature = int(trees.feature[node])
            if feature == LEAF:
                values.append(float(trees.value[node]))
                for column, (low, high, share) in path.items():
                    features.append(column)
                    lows.append(low)
                    highs.append(high)
                    shares.append(share)
                starts.append(len(features))
                continue
            low, high, share = path.get(feature, (-np.inf, np.inf, 1.0))
            edge, cover = float(trees.threshold[node]), trees.cover[node]
            left, right = int(trees.left[node]), int(trees.right[node])
            pending.append((right, path | {feature: (max(low, edge), high, share * trees.cover[right] / cover)}))
            pending.append((left, path | {feature: (low, min(high, edge), share * trees.cover[left] / cover)}))
    return (
        np.array(starts, np.int64),
        np.array(values, np.float64),
        np.array(features, np.int32),
        np.array(lows, np.float32),
        np.array(highs, np.float32),
        np.array(shares, np.float64),
    )


def _explain_each(
    rows: NDArray[np.float32],
    starts: NDArray[np.int64],
    values: NDArray[np.float64],
    features: NDArray[np.int32],
    lows: NDArray[np.float32],
    highs: NDArray[np.float32],
    shares: NDArray[np.float64],
    points: NDArray[np.float64],
    weights: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """Add every leaf's Shapley values to ``out``."""
    passed = np.empty(np.max(starts[1:] - starts[:-1]) if len(starts) > 1 else 0, np.float64)
    for row in range(len(rows)):
        for leaf in range(len(values)):
            first, last = starts[leaf], starts[leaf + 1]
            for entry in range(first, last):
                x = rows[row, features[entry]]
                passed[entry - first] = 1.0 if lows[entry] < x <= highs[entry] else 0.0
            for point in range(len(points)):
                t = points[point]
                product = values[leaf] * weights[point]
                for entry in range(first, last):
                    product *= (1.0 - t) * shares[entry] + t * passed[entry - first]
                for entry in range(first, last):
                    z, o = shares[entry], passed[entry - first]
                    out[row, features[entry]] += product * (o - z) / ((1.0 - t) * z + t * o)


_explain: Any = cached(_explain_each, nogil=True)
