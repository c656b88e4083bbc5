"""What matured labels say of decisions: precision and recall beside those of the evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.core.errors import DataError, UsageError
from fraudline.core.files import read_json
from fraudline.decide.decisions import read_decisions
from fraudline.model.bootstrap import Draws, threshold_samples, units
from fraudline.model.thresholds import Thresholds
from fraudline.steps.params import Params

FIGURES = ("precision", "recall")


def performance(
    decisions: Path, labels: Path, thresholds: Thresholds, params: Params, evaluation: Path | None = None
) -> dict[str, Any]:
    """Figures of the decisions whose label is known by now.

    Args:
        decisions: a file of decisions.
        labels: the data set with their transactions and the labels that arrived.
        thresholds: what alerts.
        params: ``monitor``, ``label_delay_days``, ``evaluate`` and ``seed``.
        evaluation: ``metrics.json`` of step evaluate, to compare with.

    Returns:
        ``known``, ``frauds``, and by figure its ``value``, ``interval``, the ``expected`` interval and ``worse``: True
        where the two do not overlap and this one lies lower. No figure where too few frauds are known.

    Raises:
        UsageError: the decisions are a folder.
        DataError: the evaluation is missing.
    """
    if decisions.is_dir():
        raise UsageError(f"{decisions} is a folder.", "Give one file of decisions to measure performance.")
    expected = _expected(evaluation)
    rows = read_decisions(decisions, dataset=labels, label_delay_days=params.label_delay_days)
    rows = rows.only(rows.known)
    frauds = int(rows.fraud.sum())
    document: dict[str, Any] = {"known": len(rows), "frauds": frauds, "figures": {}}
    if frauds < params.monitor.label_rows_min:
        return document
    bootstrap, cost = params.evaluate.bootstrap, params.evaluate.cost
    samples = threshold_samples(
        rows.fraud,
        rows.score >= np.float32(thresholds.review),
        rows.amounts,
        Draws.of(units(bootstrap.unit, rows.cards), bootstrap.resamples, params.seed),
        review_cost=cost.review_cost_minor,
        recovered_share=cost.recovered_share,
    )
    for name in FIGURES:
        low, high = samples[name].interval(params.monitor.confidence)
        before = expected.get(name)
        document["figures"][name] = {
            "value": samples[name].point,
            "interval": [low, high],
            "expected": before,
            "worse": before is not None and high < before[0],
        }
    return document


def _expected(evaluation: Path | None) -> Mapping[str, Any]:
    if evaluation is None:
        return {}
    if not evaluation.is_file():
        raise DataError(f"{evaluation} is missing.", "Name metrics.json of step evaluate.")
    intervals: Mapping[str, Any] = read_json(evaluation).get("intervals", {})
    return intervals
