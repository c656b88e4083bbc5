"""Threshold policies, chosen before the test and measured on it: the alert rates asked for, and those given."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fraudline.core.errors import UsageError
from fraudline.model.bootstrap import Sample
from fraudline.model.evaluation import Evaluator, rounded
from fraudline.model.metrics import Floats
from fraudline.model.thresholds import Policy, ThresholdParams, Thresholds, choose


@dataclass(frozen=True)
class ChosenOn:
    """The validation rows, one entry a transaction.

    Attributes:
        scores: (n,) float32.
        normal: (n,) bool, known normals.
        fraud: (n,) bool, frauds reported by the morning on which the thresholds were chosen.
        amounts: (n,) int64, minor units.
    """

    scores: NDArray[np.float32]
    normal: NDArray[np.bool_]
    fraud: NDArray[np.bool_]
    amounts: NDArray[np.int64]


def policy_table(
    params: ThresholdParams, chosen_on: ChosenOn, evaluator: Evaluator, scores: Floats
) -> list[dict[str, Any]]:
    """Every policy with the figures of ``params``, chosen on validation rows and replayed on the test.

    Args:
        params: as the model was packaged with.
        chosen_on: the validation rows.
        evaluator: of the test rows.
        scores: (m,) of the test rows.

    Returns:
        One entry a policy: ``policy``, whether it is the model's (``used``), ``review`` and ``block``; the alert rates
        ``asked``, on the validation days and on the test (with its interval), precision, recall and money. Where a
        policy cannot be chosen, ``reason`` instead.
    """
    return [_entry(params, name, chosen_on, evaluator, scores) for name in get_args(Policy)]


def _entry(
    params: ThresholdParams, name: str, chosen_on: ChosenOn, evaluator: Evaluator, scores: Floats
) -> dict[str, Any]:
    entry: dict[str, Any] = {"policy": name, "used": name == params.policy}
    policy = params.model_copy(update={"policy": name})
    try:
        chosen = choose(
            policy,
            chosen_on.scores,
            known_normal=chosen_on.normal,
            known_fraud=chosen_on.fraud,
            amounts_minor=chosen_on.amounts,
        )
    except UsageError as error:
        return entry | {"reason": error.problem}
    at = evaluator.at_threshold(scores, chosen.review)
    return entry | {
        "review": chosen.review,
        "block": chosen.block,
        "asked": _asked(policy),
        "validation": _rates(chosen_on.scores, chosen),
        "test": _rates(scores.astype(np.float32), chosen) | {"interval": _interval(at["alerts"], evaluator)},
        **{key: rounded(at[key].point) for key in ("precision", "recall", "money_saved", "money_saved_share")},
    }


def _asked(policy: ThresholdParams) -> dict[str, float]:
    """Largest share of transactions (of known normals for ``quantile``) that may be reviewed and blocked."""
    if policy.policy == "quantile":
        return {"review": round(1 - policy.review_quantile, 9), "block": round(1 - policy.block_quantile, 9)}
    return {"review": policy.review_rate, "block": policy.block_rate}


def _rates(scores: NDArray[np.float32], chosen: Thresholds) -> dict[str, Any]:
    return {name: rounded(float(np.mean(scores >= np.float32(getattr(chosen, name))))) for name in ("review", "block")}


def _interval(alerts: Sample, evaluator: Evaluator) -> list[float | None]:
    """Interval of the review rate on the test."""
    rows = len(evaluator.rows.labels)
    return [rounded(end / rows) for end in alerts.interval(evaluator.params.bootstrap.confidence)]
