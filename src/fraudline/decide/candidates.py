"""What is compared: thresholds given as figures, as a file, as a model's own, or as a policy to choose by.

7.8                        review at 7.8, block nothing
7.8:9.5                    review at 7.8, block at 9.5
alert_budget:0.01:0.002    a policy and its figures (review, block); params.yaml's where they are left out
quantile:0.99:0.999
cost:0.02                  expected cost, at most this share reviewed
thresholds.jsonl           the newest thresholds of an audited file
artifacts/<digest>         the thresholds a model was packaged with
"""

import re
from pathlib import Path

import numpy as np

from fraudline.core.errors import UsageError
from fraudline.decide.decisions import Decisions
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.model.artifact import load_artifact
from fraudline.model.thresholds import ThresholdParams, Thresholds, choose

NEVER = float(np.finfo(np.float32).max)
"""A block threshold that no score reaches."""

_FIGURES = {
    "alert_budget": ("review_rate", "block_rate"),
    "quantile": ("review_quantile", "block_quantile"),
    "cost": ("review_rate", "block_rate"),
}
_ACTION = "Give a score (7.8 or 7.8:9.5), a policy (alert_budget:0.01), a thresholds file or a model folder."


def policy_of(text: str, params: ThresholdParams) -> ThresholdParams | None:
    """The policy that ``text`` names, with its figures; None when it names none.

    Raises:
        UsageError: the figures do not fit.
    """
    name, *figures = text.split(":")
    if name not in _FIGURES:
        return None
    names = _FIGURES[name]
    if len(figures) > len(names):
        raise UsageError(f"The policy {name} takes {' and '.join(names)}, not {text}.", _ACTION)
    given = {key: _number(value, text) for key, value in zip(names, figures, strict=False)}
    return ThresholdParams.parse({**params.model_dump(), "policy": name, **given}, f"the policy {text}")


def thresholds_of(text: str) -> Thresholds:
    """The thresholds that ``text`` names, when it is no policy.

    Raises:
        UsageError: it names nothing.
    """
    path = Path(text)
    if path.is_dir():
        return load_artifact(path).thresholds
    if path.is_file():
        return ThresholdLog.read(path).newest.thresholds
    review, *block = text.split(":")
    if len(block) > 1:
        raise UsageError(f"{text} is neither thresholds nor a policy.", _ACTION)
    low, high = _number(review, text), _number(block[0], text) if block else NEVER
    if not low <= high:
        raise UsageError(f"{text}: block lies below review.", _ACTION)
    return Thresholds.of(low, high, {"name": "given"})


def chosen_on(decisions: Decisions, params: ThresholdParams) -> Thresholds:
    """Thresholds that a policy chooses on earlier decisions.

    Raises:
        UsageError: the decisions lack what the policy needs.
    """
    if params.policy == "cost" and not (decisions.fraud & decisions.known).any():
        raise UsageError("The policy cost needs known frauds to choose on.", "Give labels, or more days to choose on.")
    return choose(
        params,
        decisions.score,
        known_normal=decisions.known & ~decisions.fraud,
        known_fraud=decisions.known & decisions.fraud,
        amounts_minor=decisions.amounts,
    )


def named(text: str) -> str:
    """What people call it: a policy or figures as they are, a file by its name, a stored model by its version."""
    if not Path(text).exists():
        return text
    name = Path(text).resolve().name
    return name[:12] if re.fullmatch("[0-9a-f]{64}", name) else name


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{whole} is neither thresholds nor a policy.", _ACTION) from error
    if not np.isfinite(value):
        raise UsageError(f"{whole}: {text} is not a finite number.", _ACTION)
    return value
