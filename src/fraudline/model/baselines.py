"""The unsupervised baselines that every model is shown beside: same training normals, same features, same rows.

scores = baseline_scores("isolation_forest", normals, rows, seed=7)      # (n,) float64, high = anomalous

ECOD, COPOD and kNN are PyOD's (the extra ``lab``), the others scikit-learn's.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UsageError

Matrix = NDArray[np.float64]
Score = Callable[[Matrix], Matrix]


def isolation_forest(normals: Matrix, seed: int) -> Score:
    """Isolation forest of 100 trees on 256 rows each (Liu et al. 2008)."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=100, max_samples=min(256, len(normals)), random_state=seed).fit(normals)
    return lambda rows: np.asarray(-forest.score_samples(rows))


def pca(normals: Matrix, seed: int) -> Score:
    """Squared reconstruction error of the components that hold 90 % of the variance."""
    from sklearn.decomposition import PCA

    model = PCA(n_components=0.9, svd_solver="full", random_state=seed).fit(normals)

    def score(rows: Matrix) -> Matrix:
        residual = rows - model.inverse_transform(model.transform(rows))
        return np.asarray(np.einsum("ij,ij->i", residual, residual))

    return score


def mahalanobis(normals: Matrix, seed: int) -> Score:
    """Squared Mahalanobis distance with a shrunk covariance (Ledoit-Wolf); ``seed`` plays no part."""
    from sklearn.covariance import LedoitWolf

    model = LedoitWolf().fit(normals)
    return lambda rows: np.asarray(model.mahalanobis(rows))


def gaussian_mixture(normals: Matrix, seed: int) -> Score:
    """Minus the log-density under eight Gaussians of full covariance."""
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(8, reg_covar=1e-3, max_iter=60, tol=1e-2, random_state=seed).fit(normals)
    return lambda rows: np.asarray(-model.score_samples(rows))


def ecod(normals: Matrix, seed: int) -> Score:
    """Empirical cumulative tails of each feature (Li et al. 2022); ``seed`` plays no part."""
    from pyod.models.ecod import ECOD

    return _scorer(ECOD().fit(normals))


def copod(normals: Matrix, seed: int) -> Score:
    """Empirical copula (Li et al. 2020); ``seed`` plays no part."""
    from pyod.models.copod import COPOD

    return _scorer(COPOD().fit(normals))


def knn(normals: Matrix, seed: int) -> Score:
    """Distance to the fifth nearest of at most :data:`NEIGHBOURS` normals."""
    from pyod.models.knn import KNN

    if len(normals) > NEIGHBOURS:
        normals = normals[np.sort(np.random.default_rng(seed).choice(len(normals), NEIGHBOURS, replace=False))]
    return _scorer(KNN(n_neighbors=5).fit(normals))


NEIGHBOURS = 5_000
"""Normals among which kNN looks for neighbours: every row scored is compared with them."""

BASELINES: Mapping[str, Callable[[Matrix, int], Score]] = MappingProxyType(
    {
        "isolation_forest": isolation_forest,
        "pca": pca,
        "mahalanobis": mahalanobis,
        "gaussian_mixture": gaussian_mixture,
        "ecod": ecod,
        "copod": copod,
        "knn": knn,
    }
)
"""Each takes standardised normals (m, d) and a seed, and gives what scores standardised rows: (n, d) to (n,)."""


def fit_baseline(
    name: str, normals: NDArray[np.float32], *, seed: int, limit: int = 20_000
) -> Callable[[NDArray[np.float32]], Matrix]:
    """Fit a baseline on known normals.

    Features are standardised on the normals; one that never varies there is left out.

    Args:
        name: a key of :data:`BASELINES`.
        normals: training rows, float32 (m, d).
        seed: fixes the rows drawn and the model.
        limit: normals used at most; drawn without replacement.

    Returns:
        What scores rows: float32 (n, d) to float64 (n,), high = anomalous.

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
    score = BASELINES[name]((train[:, varies] - mean) / scale, seed)
    return lambda rows: score((rows[:, varies].astype(np.float64) - mean) / scale)


def baseline_scores(
    name: str, normals: NDArray[np.float32], rows: NDArray[np.float32], *, seed: int, limit: int = 20_000
) -> Matrix:
    """Fit a baseline on known normals and score rows, (n, d) float32: see :func:`fit_baseline`."""
    return fit_baseline(name, normals, seed=seed, limit=limit)(rows)


def _scorer(detector: Any) -> Score:
    return lambda rows: np.asarray(detector.decision_function(rows), np.float64)
