"""Frauds that no one reported, among the known normals: how many there seem to be, and which rows to leave out.

An unreported fraud looks like a reported one. So a classifier of known frauds against supposed normals is fitted on two
thirds of the rows and asked about the last third, each third in turn (confident learning: Northcutt, Jiang and Chuang
2021). Rows that it takes for frauds are suspicious; they leave the normals, and the next round learns from what is
left, until the share settles. The detector itself never sees the classifier: it only has fewer rows to learn from.

    found = suspicious(normals, frauds, TrimParams(), seed=7)
    found.share          # estimated share of unreported frauds, None where too few frauds are known to tell
    normals[~found.rows]
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.model.kinds import TrainingRows
from fraudline.model.params import TrimParams

FEW_FRAUDS = 500
"""Known frauds below which a third and more of what is hidden stays: measured in docs/how-to/renew.md."""
_FOLDS = 3
_FIT_ROWS = 20_000
"""Supposed normals that a classifier is fitted on at most: more do not change which rows stand out."""
_BINS = 255
"""Bins of a column, as many as scikit-learn makes."""
_PART, _LEAST_WEIGHT = 0.5, 0.02
"""Weight of all frauds together, as a share of that of the normals: half of what seems to be hidden among them, but not
less than this. With more, more normals are taken for frauds, and those are what costs: they say how far out a normal
may be."""
_FIRST_WEIGHT = 0.5
"""The same in the first round, in which the hidden frauds still speak for the normals: above any share of them."""
_STAYS = 0.5
"""Chance with which a row that was suspicious in the round before stays so. It is also enough in a first round in which
half of the known frauds fall short of ``chance``: then so many are hidden that a fraud looks like a normal."""
_SETTLED = 0.05
"""Rounds end when the suspicious rows change by less than this share of them."""


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What was found among n supposed normals.

    Attributes:
        rows: (n,) bool, the suspicious ones; at most ``max_share`` of all.
        share: estimated share of unreported frauds; None where too few frauds are known to tell.
        trims: whether the share is large enough for the rows to be left out.
    """

    rows: NDArray[np.bool_]
    share: float | None
    trims: bool

    @property
    def kept(self) -> NDArray[np.bool_]:
        """(n,) bool, the rows to learn from."""
        return ~self.rows if self.trims else np.ones(len(self.rows), bool)


def trimmed(learned: TrainingRows, params: TrimParams, seed: int) -> tuple[TrainingRows, Suspicion]:
    """What is learned from without the suspicious normals, and what was found among the normals, later ones last."""
    supposed = np.concatenate([learned.normals, learned.later_normals])
    found = suspicious(supposed, learned.frauds, params, seed)
    first = len(learned.normals)
    kept = replace(
        learned,
        normals=learned.normals[found.kept[:first]],
        later_normals=learned.later_normals[found.kept[first:]],
    )
    return kept, found


def suspicious(normals: NDArray[np.float32], frauds: NDArray[np.float32], params: TrimParams, seed: int) -> Suspicion:
    """Find the supposed normals that look like known frauds.

    Args:
        normals: (n, d) float32 raw features of supposed normals.
        frauds: (m, d) float32 raw features of frauds that were reported by the time of training.
        params: the bounds.
        seed: of the folds and of the sample that is fitted on.
    """
    from threadpoolctl import threadpool_limits

    n = len(normals)
    if len(frauds) < params.min_frauds or params.rounds == 0:
        return Suspicion(np.zeros(n, bool), None, trims=False)
    rng = np.random.default_rng(seed)
    flagged, settled, rounds, share = np.zeros(n, bool), False, 0, 0.0
    stays = min(params.chance, _STAYS)
    with threadpool_limits(1):  # two threads that wait for each other are slower than one on a busy machine
        while rounds < params.rounds and not settled:
            rounds += 1
            first = rounds == 1
            weight = _FIRST_WEIGHT if first and params.rounds > 1 else max(_PART * share, _LEAST_WEIGHT)
            chance, found = _cross_fitted(normals, frauds, ~flagged, weight, rng)
            enters = stays if first and np.median(found) < params.chance else params.chance
            before, flagged = flagged, (chance >= enters) | (flagged & (chance >= stays))
            changed, doubted = int(np.count_nonzero(before != flagged)), int(np.count_nonzero(flagged))
            settled = not first and changed <= _SETTLED * doubted
            least = enters if first else stays
            share = min(float(flagged.mean()) / max(float(np.mean(found >= least)), 0.1), 1.0)
    rows = _largest(chance, flagged, params.max_share)
    return Suspicion(rows, share, trims=share >= params.from_share)


def _cross_fitted(
    normals: NDArray[np.float32],
    frauds: NDArray[np.float32],
    trusted: NDArray[np.bool_],
    weight: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """How much each row looks like a fraud to a classifier that was not fitted on it: normals (n,), frauds (m,)."""
    chance, found = np.empty(len(normals), np.float32), np.empty(len(frauds), np.float32)
    fold, fraud_fold = rng.integers(0, _FOLDS, len(normals)), rng.integers(0, _FOLDS, len(frauds))
    for part in range(_FOLDS):
        rows = np.flatnonzero((fold != part) & trusted)
        if len(rows) > _FIT_ROWS:
            rows = np.sort(rng.choice(rows, _FIT_ROWS, replace=False))
        model = _Classifier(normals[rows], frauds[fraud_fold != part], weight)
        for target, matrix, own in ((chance, normals, fold == part), (found, frauds, fraud_fold == part)):
            if own.any():
                target[own] = model.chance(matrix[own])
    return chance, found


class _Classifier:
    """Boosted trees that tell frauds from normals.

    They are fitted on the numbers of the bins that scikit-learn would put the values into: the same trees, without its
    254 sorts of each column by weight, which are nine tenths of a fit.

    Args:
        normals: (n, d) float32.
        frauds: (m, d) float32.
        weight: of all frauds together, as a share of that of the normals.
    """

    def __init__(self, normals: NDArray[np.float32], frauds: NDArray[np.float32], weight: float) -> None:
        from sklearn.ensemble import HistGradientBoostingClassifier

        rows = np.concatenate([normals, frauds])
        weights = np.r_[np.ones(len(normals)), np.full(len(frauds), weight * len(normals) / len(frauds))]
        truth = np.r_[np.zeros(len(normals)), np.ones(len(frauds))]
        self._edges = [_edges(column, weights) for column in rows.T]
        model = HistGradientBoostingClassifier(
            max_iter=50, max_leaf_nodes=8, min_samples_leaf=40, learning_rate=0.15, early_stopping=False, random_state=0
        )
        self._model: Any = model.fit(self._binned(rows), truth, sample_weight=weights)

    def chance(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n,) how much each row looks like a fraud."""
        found: NDArray[np.float64] = self._model.predict_proba(self._binned(rows))[:, 1]
        return found

    def _binned(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        binned = rows.astype(np.float64)
        for column, edges in zip(binned.T, self._edges, strict=True):
            if edges is not None:
                there = ~np.isnan(column)
                column[there] = np.searchsorted(edges, column[there])
        return binned


def _edges(values: NDArray[np.float32], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Weighted percentiles of a column (averaged inverted distribution: Hyndman and Fan 1996), each once.

    None where the values are no more than the bins, and are bins themselves.
    """
    there = ~np.isnan(values)
    order = np.argsort(values[there], kind="stable")
    column = values[there][order].astype(np.float64)
    if len(np.unique(column)) <= _BINS:
        return None
    below = np.cumsum(weights[there][order])
    wanted = np.linspace(0, 100, _BINS + 1)[1:-1] / 100 * below[-1]
    at = np.minimum(np.searchsorted(below, wanted), len(column) - 1)
    after = np.minimum(at + 1, len(column) - 1)
    between = below[at] - wanted <= np.finfo(np.float64).eps
    return np.unique(np.where(between, (column[at] + column[after]) / 2, column[at]))


def _largest(chance: NDArray[np.float32], flagged: NDArray[np.bool_], max_share: float) -> NDArray[np.bool_]:
    """The flagged rows, those with the largest chance only where they are more than ``max_share``."""
    most = int(max_share * len(chance))
    if np.count_nonzero(flagged) <= most:
        return flagged
    kept = np.zeros(len(chance), bool)
    kept[np.argsort(np.where(flagged, -chance, 0.0), kind="stable")[:most]] = True
    return kept
