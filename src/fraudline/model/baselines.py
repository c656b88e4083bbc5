"""The unsupervised baselines that every model is shown beside: same training normals, same features, same rows.

scores = baseline_scores("isolation_forest", normals, rows, seed=7)      # (n,) float64, high = anomalous
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UsageError

Matrix = NDArray[np.float64]


def isolation_forest(normals: Matrix, rows: Matrix, seed: int) -> Matrix:
    """Isolation forest of 100 trees on 256 rows each."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=100, max_samples=min(256, len(normals)), random_state=seed).fit(normals)
    scores: Matrix = -forest.score_samples(rows)
    return scores


def pca(normals: Matrix, rows: Matrix, seed: int) -> Matrix:
    """Squared reconstruction error of the components that hold 90 % of the variance."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=0.9, svd_solver="full", random_state=seed).fit(normals)
    residual = rows - model.inverse_transform(model.transform(rows))
    scores: Matrix = np.einsum("ij,ij->i", residual, residual)
    return scores


def mahalanobis(normals: Matrix, rows: Matrix, seed: int) -> Matrix:
    """Squared Mahalanobis distance with a shrunk covariance (Ledoit-Wolf); ``seed`` plays no part."""
    from sklearn.covariance import LedoitWolf

    scores: Matrix = LedoitWolf().fit(normals).mahalanobis(rows)
    return scores


BASELINES: Mapping[str, Callable[[Matrix, Matrix, int], Matrix]] = MappingProxyType(
    {"isolation_forest": isolation_forest, "pca": pca, "mahalanobis": mahalanobis}
)
"""Each takes standardised normals (m, d), standardised rows (n, d) and a seed, and gives scores (n,)."""


def baseline_scores(
    name: str, normals: NDArray[np.float32], rows: NDArray[np.float32], *, seed: int, limit: int = 20_000
) -> Matrix:
    """Fit a baseline on known normals and score rows.

    Features are standardised on the normals; one that never varies there is left out.

    Args:
        name: a key of :data:`BASELINES`.
        normals: training rows, float32 (m, d).
        rows: rows to score, float32 (n, d).
        seed: fixes the rows drawn and the forest.
        limit: normals used at most; drawn without replacement.

    Returns:
        Scores, float64 (n,), high = anomalous.

    Raises:
        UsageError: there is no such baseline, or nothing varies in the normals.
    """
    if name not in BASELINES:
        raise UsageError(f"There is no baseline {name!r}.", f"Choose from {', '.join(BASELINES)}.")
    if len(normals) > limit:
        chosen = np.random.default_rng(seed).choice(len(normals), limit, replace=False)
        normals = normals[np.sort(chosen)]
    train = normals.astype(np.float64)
    mean, scale = train.mean(axis=0), train.std(axis=0)
    varies = scale > 1e-9 * np.maximum(np.abs(mean), 1.0)
    if not varies.any():
        raise UsageError("No feature varies in the training normals.", "Train on more days or cards.")
    mean, scale = mean[varies], scale[varies]
    model = BASELINES[name]
    return model((train[:, varies] - mean) / scale, (rows[:, varies].astype(np.float64) - mean) / scale, seed)
