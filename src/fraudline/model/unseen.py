"""What a supervised model's thresholds are chosen on: scores of days by models that had not learned from them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fraudline.model.inputs import Inputs
from fraudline.model.kinds import Matrix, TrainingRows, fit_kind
from fraudline.model.params import TrainParams

UNSEEN = "reference/unseen.parquet"
"""Of a supervised model's artifact: the scores of the validation rows that its thresholds were chosen on."""
_THIRDS = 3


def unseen_scores(
    rows: TrainingRows,
    later: Matrix,
    normal: NDArray[np.bool_],
    fraud: NDArray[np.bool_],
    spec: Inputs,
    params: TrainParams,
    seed: int,
) -> Matrix:
    """Scores of later rows, a third at a time, by a model of the same kind that has not learned from that third.

    A model of trees that learned from these rows knows their frauds: it scores them higher than any fraud to come.

    Args:
        rows: what is learned from in any case, without ``later_normals``.
        later: (n, d) float32 raw features, in time order.
        normal: (n,) bool, known normals to learn from.
        fraud: (n,) bool, known frauds to learn from.
        spec: name, tail and transform of the d columns.
        params: the kind and its settings.
        seed: of everything random.

    Returns:
        (n,) float32.

    Raises:
        DataError: there are too few known frauds without those of a third.
    """
    scores = np.empty(len(later), np.float32)
    third = np.arange(len(later)) * _THIRDS // max(len(later), 1)
    for part in range(_THIRDS):
        asked = third == part
        frauds = np.concatenate([rows.frauds, later[fraud & ~asked]])
        seen = replace(rows, later_normals=later[normal & ~asked], frauds=frauds)
        scores[asked] = fit_kind(seen, spec, params, seed).score(later[asked]).score
    return scores
