"""What one point of the search space is worth: training at it, judged on the later validation days. Needs no Optuna."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.model import metrics
from fraudline.model.kinds import HYBRID, fit_kind
from fraudline.model.params import AUTOENCODERS
from fraudline.model.runtime import load_tensorflow
from fraudline.model.search import OBJECTIVE, merged, nested
from fraudline.steps.labelled import learned_spec
from fraudline.steps.params import Params
from fraudline.steps.tune_rows import TuneRows


@dataclass(frozen=True, slots=True)
class Measured:
    """What one point is worth on the later validation days."""

    ap: float
    roc_auc: float
    recall: float
    seconds: float

    def figures(self) -> dict[str, float]:
        """Names as they are recorded and printed; ``validation_ap`` is the objective."""
        return {
            OBJECTIVE: self.ap,
            "validation_roc_auc": self.roc_auc,
            "validation_recall_at_budget": self.recall,
            "fit_seconds": self.seconds,
        }


def measure(rows: TuneRows, spec: FeatureSpec | TableSpec, params: Params, share: float = 1.0) -> Measured:
    """Train on a share of the rows and judge on the later validation days.

    Args:
        rows: of :class:`TuneRows`.
        spec: the features' specification.
        params: ``train``, ``seed``, ``threshold.review_rate``.
        share: of ``train.max_rows``.
    """
    if params.train.kind in (*AUTOENCODERS, HYBRID):
        load_tensorflow()
    begun = time.monotonic()
    train = params.train
    forest = train.forest.model_copy(update={"max_rows": max(int(train.forest.max_rows * share), 1)})
    train = train.model_copy(update={"max_rows": max(int(train.max_rows * share), 1), "forest": forest})
    fitted = fit_kind(rows.learned, spec, train, params.seed)
    scores = fitted.score(rows.judged).score.astype(np.float64)
    return Measured(
        ap=metrics.average_precision(rows.frauds, scores),
        roc_auc=metrics.roc_auc(rows.frauds, scores),
        recall=metrics.recall_at_rate(rows.frauds, scores, params.threshold.review_rate),
        seconds=time.monotonic() - begun,
    )


def measure_point(*, features: Path, params: Params, point: dict[str, Any]) -> dict[str, float]:
    """Measure one point of the search space: what a trial of Katib does.

    Args:
        features: folder of step featurize.
        params: everything that the point does not set.
        point: dotted names and values.

    Raises:
        UsageError: a name or value does not fit params.yaml.
        DataError: there are no features, or no fraud to judge by.
    """
    chosen = at_point(params, point)
    spec = learned_spec(features, chosen)
    return measure(TuneRows.read(features, spec, chosen), spec, chosen).figures()


def at_point(params: Params, point: dict[str, Any]) -> Params:
    """``params`` with the values of a point.

    Raises:
        UsageError: a name or value does not fit.
    """
    return Params.parse(merged(params.model_dump(), nested(point)), f"the point {point}")
