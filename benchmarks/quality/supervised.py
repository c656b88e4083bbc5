"""The supervised challengers: trees of four libraries, plain and with SMOTE, and the book's models on its features."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.family import Family, Outcome, Score, timed
from benchmarks.quality.rows import Week
from benchmarks.quality.settings import BOOK, OURS, SETS
from fraudline.model import challengers, trees
from fraudline.model.challengers import GROWERS, grow
from fraudline.model.params import ForestParams

SMOTE_SHARE = 0.1
BOOSTING_ROUNDS, FOREST_TREES = 200, 100
LOGISTIC = "logistic regression"
_SOURCES = (Path(challengers.__file__), Path(trees.__file__))


def families() -> list[Family]:
    """On our features every library plain and with SMOTE; on the book's, what the book publishes."""
    plain = [_trees(kind, OURS, 0.0) for kind in GROWERS]
    filled = [_trees(kind, OURS, SMOTE_SHARE) for kind in GROWERS]
    return [*plain, *filled, _logistic(BOOK), *(_trees(kind, BOOK, 0.0) for kind in ("xgboost", "random_forest"))]


def _trees(kind: str, columns: str, smote: float) -> Family:
    params = ForestParams(smote_share=smote, trees=FOREST_TREES if kind == "random_forest" else BOOSTING_ROUNDS)
    title = f"{kind.replace('_', ' ')}{' + SMOTE' if smote else ''} ({columns})"
    return Family(
        name=title,
        group=f"Supervised, on {SETS[columns]}",
        columns=columns,
        outputs=(title,),
        settings={"kind": kind, **params.model_dump()},
        sources=_SOURCES,
        run=partial(_run_trees, kind, params, title),
    )


def _run_trees(kind: str, params: ForestParams, title: str, week: Week, seed: int) -> Mapping[str, Outcome]:
    return timed(title, lambda: grow(kind, *week.learned.labelled, params, seed).score, week.test)


def _logistic(columns: str) -> Family:
    title = f"{LOGISTIC} ({columns})"
    return Family(
        name=title,
        group=f"Supervised, on {SETS[columns]}",
        columns=columns,
        outputs=(title,),
        settings={"kind": LOGISTIC, "scaled": "standard", "C": 1.0, "max_iter": 200},
        sources=(),
        run=lambda week, seed: timed(title, lambda: _fit_logistic(week), week.test),
        seeded=False,
    )


def _fit_logistic(week: Week) -> Score:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(*week.learned.labelled)

    def score(rows: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(model.decision_function(rows))

    return score
