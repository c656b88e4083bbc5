"""What an autoencoder's score knows of single rows, learned again from fewer of them; the networks stay.

Every known normal stands in the tables that say how rare it is, and the residuals of later normals make the metric that
they are measured by. So these rows score lower than others like them, the rarest most of all.
"""

from dataclasses import replace

import numpy as np

from fraudline.core.errors import UsageError
from fraudline.model.fitting import FittedModel, decades, measured
from fraudline.model.inputs import Inputs
from fraudline.model.joints import learn_joints
from fraudline.model.kinds import TrainingRows
from fraudline.model.network import ScoreGraph
from fraudline.model.surprises import Surprises
from fraudline.model.tails import Tails


def relearned(fitted: FittedModel, rows: TrainingRows, spec: Inputs) -> FittedModel:
    """The model with tables, residual metrics and curves of these rows.

    It is nearly what ``fit`` makes of them: the networks are those that all rows ended, on the surprises of all rows.

    Args:
        fitted: from the same ``rows.normals``, and from more later ones.
        rows: to learn from; their frauds are not looked at.
        spec: name, tail and transform of the d columns.

    Raises:
        UsageError: there are too few later normals for a covariance.
    """
    params, names = fitted.params, [column.name for column in spec.features]
    later = rows.later_normals
    if len(later) < 2 * len(names):
        raise UsageError(f"Only {len(later)} validation rows for a covariance.", "Give later known normals.")
    known = np.concatenate([rows.normals, later])
    joints = [joint for joint in spec.joints if params.joints is None or joint.name in params.joints]
    tails = Tails.learn(known, fitted.graph.surprises.tails.columns.tolist())
    surprises = Surprises(tails, learn_joints(known, joints, names), names)
    # network.py keeps its families to itself, and its code is part of the state that the quality ledger is of
    on_features, on_surprises = fitted.graph._features, fitted.graph._on_surprises  # noqa: SLF001
    graph = ScoreGraph(
        measured(on_features, later, params.ridge),
        surprises,
        None if on_surprises is None else measured(on_surprises, decades(surprises, later), params.ridge),
        params.tail_weight,
        params.autoencoder_weight,
        params.surprise_weight,
    )
    return replace(fitted, graph=graph)
