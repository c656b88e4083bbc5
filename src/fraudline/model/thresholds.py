"""Thresholds: the two scores at which a transaction is reviewed or blocked, and the policy that chose them.

A policy is applied to the scores of the validation period (high = anomalous), never to the test period. The version
is a digest of the values and the policy, so two models with the same thresholds under the same policy share it.
"""

import json
from typing import Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import DataError, UsageError
from fraudline.core.settings import Settings

Policy = Literal["alert_budget", "quantile", "cost"]
T = TypeVar("T", bound=np.generic)


class DynamicParams(Settings):
    """How far and how fast thresholds may follow the scores after packaging (``fraudline threshold adjust``)."""

    enabled: bool = Field(default=False, description="whether `threshold adjust` may change anything")
    window: int = Field(default=50_000, ge=1, description="newest scores that are looked at")
    min_scores: int = Field(default=10_000, ge=1, description="with fewer scores nothing is changed")
    tolerance: float = Field(default=0.25, ge=0, description="an alert rate this close to its budget (share) is right")
    max_step: float = Field(default=0.05, gt=0, le=1, description="largest change at once, share of the packaged score")
    lowest: float = Field(default=0.8, gt=0, le=1, description="lower bound, share of the packaged threshold")
    highest: float = Field(default=1.25, ge=1, description="upper bound, share of the packaged threshold")


class ThresholdParams(Settings):
    """How thresholds are chosen on the validation period.

    ``alert_budget``: the shares of all transactions that may be reviewed and blocked (the rates are budgets, both
    measured from the top: a blocked transaction is not counted twice). ``quantile``: quantiles of the known normals'
    scores. ``cost``: the review threshold with the least cost on labelled validation rows; the block threshold is
    still bounded by ``block_rate``.
    """

    policy: Policy = Field(default="alert_budget", description="rule that chooses both thresholds on validation rows")
    review_rate: float = Field(default=0.005, gt=0, lt=1, description="share of all transactions at or above review")
    block_rate: float = Field(default=0.001, gt=0, lt=1, description="share of all transactions at or above block")
    review_quantile: float = Field(default=0.995, gt=0, lt=1, description="quantile of normals' scores, for review")
    block_quantile: float = Field(default=0.9995, gt=0, lt=1, description="quantile of normals' scores, for block")
    review_cost_minor: int = Field(default=500, ge=0, description="cost of one review, minor currency units")
    recovered_share: float = Field(default=0.8, gt=0, le=1, description="share of a reviewed fraud's amount saved")
    dynamic: DynamicParams = DynamicParams()

    @model_validator(mode="after")
    def _block_is_rarer(self) -> Self:
        if self.block_rate > self.review_rate or self.block_quantile < self.review_quantile:
            raise ValueError("block must be at least as rare as review")
        return self


class Thresholds(Settings):
    """A score at or above ``review`` is reviewed, at or above ``block`` is blocked."""

    review: float
    block: float
    policy: dict[str, float | int | str]
    version: str

    @model_validator(mode="after")
    def _block_is_higher(self) -> Self:
        if not self.review <= self.block:
            raise ValueError("block must not be below review")
        return self

    @classmethod
    def of(cls, review: float, block: float, policy: dict[str, float | int | str]) -> Self:
        """Thresholds with their version: the first 12 hex digits of a digest of values and policy."""
        content = json.dumps({"review": review, "block": block, "policy": policy}, sort_keys=True)
        return cls(review=review, block=block, policy=policy, version=sha256_bytes(content.encode())[:12])


def choose(
    params: ThresholdParams,
    scores: NDArray[np.float32],
    *,
    known_normal: NDArray[np.bool_] | None = None,
    known_fraud: NDArray[np.bool_] | None = None,
    amounts_minor: NDArray[np.int64] | None = None,
) -> Thresholds:
    """Choose thresholds on the scores of the validation period.

    Args:
        params: the policy and its figures.
        scores: (n,) float32, every transaction of the period, labelled or not.
        known_normal: (n,) bool; needed by ``quantile``.
        known_fraud: (n,) bool; needed by ``cost``.
        amounts_minor: (n,) int64, minor currency units; needed by ``cost``.

    Raises:
        UsageError: no scores, or the policy lacks what it needs.
        DataError: a score is no number.
    """
    if scores.size == 0:
        raise UsageError("There are no validation scores to choose thresholds on.", "Widen split.validation_days.")
    check_finite(scores, "The validation period")
    policy = {"name": params.policy, **_figures(params)}
    if params.policy == "alert_budget":
        review, block = budget(scores, params.review_rate), budget(scores, params.block_rate)
    elif params.policy == "quantile":
        normal = _needed(known_normal, "known normals", scores)
        if not normal.any():
            raise UsageError("The validation period has no known normal.", "Use the policy alert_budget.")
        review = _quantile(scores[normal], params.review_quantile)
        block = _quantile(scores[normal], params.block_quantile)
    else:
        fraud, amounts = _needed(known_fraud, "known frauds", scores), _needed(amounts_minor, "amounts", scores)
        review = cheapest(scores, fraud, amounts, params)
        block = max(review, budget(scores, params.block_rate))
    return Thresholds.of(review, max(review, block), policy)


def check_finite(scores: NDArray[np.floating], of: str) -> None:
    """Refuse scores that no threshold stops: every comparison with what is no number says allow.

    Args:
        scores: (n,).
        of: whose they are, as the error's sentence begins.

    Raises:
        DataError: a score is not finite.
    """
    wrong = int(np.count_nonzero(~np.isfinite(scores)))
    if wrong:
        raise DataError(
            f"{of} has {wrong:,} of {scores.size:,} scores that are no finite number.",
            "Train again: with a smaller learning rate, or without the feature whose values are beyond all others.",
        )


def budget(scores: NDArray[np.float32], rate: float) -> float:
    """The lowest threshold at or above which at most ``rate`` of the scores lie.

    >>> budget(np.arange(10, dtype=np.float32), 0.2)
    8.0
    """
    allowed = int(np.floor(rate * scores.size + 1e-9))
    ranked = np.sort(scores)[::-1]
    if allowed >= ranked.size:
        return float(ranked[-1])
    above = ranked[:allowed]
    first_outside = ranked[allowed]
    inside = above[above > first_outside]
    return float(inside[-1]) if inside.size else float(np.nextafter(ranked[0], np.float32(np.inf)))


def cheapest(
    scores: NDArray[np.float32], fraud: NDArray[np.bool_], amounts_minor: NDArray[np.int64], params: ThresholdParams
) -> float:
    """The threshold with the least cost: reviews cost, a reviewed fraud saves part of its amount.

    The number of reviews is bounded by ``review_rate``, because reviewers are. Where no threshold saves money on these
    rows (too few frauds are known, say), it is the one of the bound: a model that reviews nothing learns nothing.

    Args:
        scores: (n,) float32.
        fraud: (n,) bool, known frauds.
        amounts_minor: (n,) int64, minor currency units.
        params: ``review_rate``, ``review_cost_minor`` and ``recovered_share``.
    """
    order = np.argsort(-scores, kind="stable")
    gain = np.where(fraud, amounts_minor * params.recovered_share, 0.0)[order] - params.review_cost_minor
    total = np.cumsum(gain)
    ranked = scores[order]
    last_of_tie = np.append(ranked[:-1] > ranked[1:], True)
    floor = budget(scores, params.review_rate)
    candidates = np.flatnonzero(last_of_tie & (ranked >= floor))
    if candidates.size == 0 or total[candidates].max() <= 0:
        return floor
    return float(ranked[candidates[np.argmax(total[candidates])]])


def _quantile(scores: NDArray[np.float32], q: float) -> float:
    return float(np.quantile(scores, q, method="higher"))


def _figures(params: ThresholdParams) -> dict[str, float | int | str]:
    used = {
        "alert_budget": ("review_rate", "block_rate"),
        "quantile": ("review_quantile", "block_quantile"),
        "cost": ("review_rate", "block_rate", "review_cost_minor", "recovered_share"),
    }[params.policy]
    return {name: getattr(params, name) for name in used}


def _needed(values: NDArray[T] | None, what: str, scores: NDArray[np.float32]) -> NDArray[T]:
    if values is None or values.shape != scores.shape:
        raise UsageError(f"This threshold policy needs the {what}, one a score.", "Pass them, or use alert_budget.")
    return values
