"""One cell: fit, score, and the figures that stand in the ledger."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.family import Family, Outcome
from benchmarks.quality.rows import Rows, Week, load_rows
from fraudline.model import metrics
from fraudline.model.evaluation import EvaluationRows, Evaluator
from fraudline.model.evaluation_params import EvaluateParams

DIGITS = 6


@dataclass(frozen=True)
class Task:
    """One family on one week with one seed. ``intervals``: whether cards are resampled, too."""

    family: str
    start: date
    seed: int
    intervals: bool


def measure(family: Family, rows: Rows, task: Task) -> dict[str, dict[str, Any]]:
    """Run a task.

    Returns:
        For each output its figures (``ap``, ``auc``, ``cp100``, ``kinds``; ``intervals`` where asked for), CPU seconds
        of fitting and scoring, and the number of rows scored.
    """
    week: Week = rows.week(task.start, family.columns)
    truth = rows.evaluation(task.start)
    evaluator = Evaluator(truth, EvaluateParams(), task.seed) if task.intervals else None
    outcomes = family.run(week, task.seed)
    return {name: _values(outcome, truth, evaluator) for name, outcome in outcomes.items()}


def run_task(file: Path, cache: Path, task: Task) -> dict[str, dict[str, Any]]:
    """:func:`measure` in a process of its own."""
    from benchmarks.quality.models import families

    return measure(families()[task.family], load_rows(file, cache), task)


def _values(outcome: Outcome, truth: EvaluationRows, evaluator: Evaluator | None) -> dict[str, Any]:
    scores = outcome.scores
    values: dict[str, Any] = {
        "ap": metrics.average_precision(truth.labels, scores),
        "auc": metrics.roc_auc(truth.labels, scores),
        "cp100": metrics.card_precision(truth.labels, scores, truth.cards, truth.days),
        "kinds": _kinds(truth, scores),
        "fit_s": outcome.fit_s,
        "score_s": outcome.score_s,
        "rows": len(scores),
    }
    if evaluator is not None:
        found = evaluator.figures(evaluator.samples(scores))["intervals"]
        values["intervals"] = {"ap": found["ap"], "auc": found["roc_auc"], "cp100": found["cp100"]}
    return {name: round(value, DIGITS) if isinstance(value, float) else value for name, value in values.items()}


def _kinds(truth: EvaluationRows, scores: NDArray[np.float64]) -> dict[str, float]:
    """Average precision of each kind's frauds against all normals."""
    found = {}
    for kind in sorted(set(truth.kinds[truth.labels]) - {""}):
        chosen = ~truth.labels | (truth.kinds == kind)
        found[str(kind)] = round(metrics.average_precision(truth.labels[chosen], scores[chosen]), DIGITS)
    return found
