"""What thresholds are chosen on: scores of days by models that had not learned from them."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from fraudline.model.inputs import Inputs
from fraudline.model.kinds import Fitted, Matrix, TrainingRows, fit_kind
from fraudline.model.params import AUTOENCODERS, TrainParams

if TYPE_CHECKING:
    from fraudline.model.fitting import FittedModel

UNSEEN = "reference/unseen.parquet"
"""Of an artifact: the scores of the validation rows that its thresholds were chosen on."""
_THIRDS = 3


def unseen_scores(
    fitted: Fitted,
    rows: TrainingRows,
    later: Matrix,
    normal: NDArray[np.bool_],
    fraud: NDArray[np.bool_],
    spec: Inputs,
    params: TrainParams,
    seed: int,
) -> Matrix:
    """Scores of later rows, a third at a time, by a model of the same kind that has not learned from that third.

    A model of trees that learned from these rows knows their frauds: it scores them higher than any fraud to come. An
    autoencoder's tables and residuals know their normals: it scores them lower than any normal to come.

    Args:
        fitted: the model that learned from all of it.
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
        UsageError: there are too few known normals without those of a third.
    """
    scores = np.empty(len(later), np.float32)
    third = np.arange(len(later)) * _THIRDS // max(len(later), 1)
    for part in range(_THIRDS):
        asked = third == part
        frauds = np.concatenate([rows.frauds, later[fraud & ~asked]])
        seen = replace(rows, later_normals=later[normal & ~asked], frauds=frauds)
        scores[asked] = _anew(fitted, seen, spec, params, seed).score(later[asked]).score
    return scores


def _anew(fitted: Fitted, rows: TrainingRows, spec: Inputs, params: TrainParams, seed: int) -> Fitted:
    """A model of these rows; an autoencoder keeps its networks, which only stop by later rows."""
    if params.kind in AUTOENCODERS:
        from fraudline.model.relearning import relearned

        return relearned(cast("FittedModel", fitted), rows, spec)
    return fit_kind(rows, spec, params, seed)
