"""Two thresholds on the same traffic: what each would have alerted, and what the difference is worth.

    document = compare(decisions, a, b, cost, bootstrap, seed=7)
    document["difference"]["money_saved"]    # {"value": ..., "interval": [low, high], "b_better": 0.98}

Both sides are measured on the same rows and the same resamples (whole cards by default), so the interval is that of the
difference and not of two figures. Alerts are counted on every row; precision, recall and money on those whose label is
known.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.errors import DataError
from fraudline.decide.decisions import Decisions
from fraudline.decide.policy import BLOCK, decide
from fraudline.model import metrics
from fraudline.model.bootstrap import Draws, Sample, units
from fraudline.model.evaluation import rounded
from fraudline.model.evaluation_params import BootstrapParams, CostParams
from fraudline.model.metrics import Bools, Floats
from fraudline.model.thresholds import Thresholds

_FIGURES = ("alerts", "precision", "recall", "f1", "money_saved", "money_saved_share", "blocks", "blocked_normals")
_CURVE_POINTS = 120
Decided = NDArray[np.int8]


def compare(
    decisions: Decisions, a: Thresholds, b: Thresholds, cost: CostParams, bootstrap: BootstrapParams, *, seed: int
) -> dict[str, Any]:
    """Replay decisions under two thresholds.

    Args:
        decisions: scored transactions.
        a: one side, usually what holds today.
        b: the other.
        cost: what an alert costs and what a caught fraud saves.
        bootstrap: resamples, confidence and what is drawn.
        seed: of the draws.

    Returns:
        ``a`` and ``b`` (figures with intervals), ``difference`` (b - a, with its interval and the share of resamples in
        which b is better), ``changed`` (what only one of them alerts), ``curve`` (money by review threshold) and
        ``daily``.

    Raises:
        DataError: there is nothing to replay.
    """
    document = compare_outcomes(
        decisions, decide(decisions.score, a), decide(decisions.score, b), cost, bootstrap, seed=seed
    )
    for side, thresholds in (("a", a), ("b", b)):
        document[side]["thresholds"] = thresholds.model_dump(mode="json")
    return document | {"curve": _curve(decisions, a, b, cost)}


def compare_outcomes(
    decisions: Decisions, a: Decided, b: Decided, cost: CostParams, bootstrap: BootstrapParams, *, seed: int
) -> dict[str, Any]:
    """Compare two ways of deciding on the same transactions, whatever each decided by.

    Args:
        decisions: the transactions; their scores are not looked at.
        a: (n,) what one side decided, an index into ``DECISIONS``.
        b: (n,) likewise.
        cost: what an alert costs and what a caught fraud saves.
        bootstrap: resamples, confidence and what is drawn.
        seed: of the draws.

    Returns:
        What :func:`compare` returns, without ``curve`` and the sides' ``thresholds``.

    Raises:
        DataError: there is nothing to compare.
    """
    if not len(decisions):
        raise DataError("There is no decision to replay.", "Give more days, or choose the policies on fewer of them.")
    draws = Draws.of(units(bootstrap.unit, _coded(decisions.cards)), bootstrap.resamples, seed)
    samples = {name: _samples(decisions, outcome, cost, draws) for name, outcome in (("a", a), ("b", b))}
    days = max(len(np.unique(decisions.days)), 1)
    return {
        "rows": len(decisions),
        "known": int(decisions.known.sum()),
        "frauds": int((decisions.known & decisions.fraud).sum()),
        "cards": len(np.unique(decisions.cards)),
        "days": days,
        "period": _period(decisions),
        "cost": cost.model_dump(),
        "bootstrap": bootstrap.model_dump(),
        "a": _side(samples["a"], decisions, days, bootstrap.confidence),
        "b": _side(samples["b"], decisions, days, bootstrap.confidence),
        "difference": _difference(samples["a"], samples["b"], bootstrap.confidence),
        "changed": _changed(decisions, a, b),
        "daily": _daily(decisions, a, b),
    }


def _samples(decisions: Decisions, outcome: Decided, cost: CostParams, draws: Draws) -> dict[str, Sample]:
    """Each figure on the data and on every resample."""
    alerted, known = outcome > 0, decisions.known
    judged = metrics.threshold_columns(decisions.fraud & known, alerted & known, decisions.amounts)
    sums = draws.sums(judged)
    found = metrics.threshold_figures(sums, cost.review_cost_minor, cost.recovered_share)
    if not known.any():
        found |= {name: np.full_like(found[name], np.nan) for name in ("precision", "f1")}
    blocked = outcome == BLOCK
    counts = draws.sums(np.column_stack([alerted, blocked, blocked & known & ~decisions.fraud]).astype(np.float64))
    found |= {"alerts": counts[:, 0], "blocks": counts[:, 1], "blocked_normals": counts[:, 2]}
    return {name: Sample(found[name]) for name in _FIGURES}


def _side(samples: dict[str, Sample], decisions: Decisions, days: int, confidence: float) -> dict[str, Any]:
    alerts = samples["alerts"].point
    return {
        **{name: rounded(sample.point) for name, sample in samples.items()},
        "alert_rate": rounded(alerts / len(decisions)),
        "alerts_a_day": rounded(alerts / days),
        "intervals": {name: _interval(sample, confidence) for name, sample in samples.items()},
    }


def _difference(a: dict[str, Sample], b: dict[str, Sample], confidence: float) -> dict[str, Any]:
    """What b has more than a; ``b_better`` counts half of the ties."""
    found: dict[str, Any] = {}
    for name in _FIGURES:
        gap = Sample(b[name].values - a[name].values)
        drawn = gap.values[1:][np.isfinite(gap.values[1:])]
        share = float(np.mean(drawn > 0) + np.mean(drawn == 0) / 2) if len(drawn) else float("nan")
        fewer_is_better = name in ("alerts", "blocks", "blocked_normals")
        found[name] = {
            "value": rounded(gap.point),
            "interval": _interval(gap, confidence),
            "b_better": rounded(1 - share if fewer_is_better else share),
        }
    return found


def _changed(decisions: Decisions, a: Decided, b: Decided) -> dict[str, dict[str, int]]:
    """The rows that only one of them alerts."""
    of_a, of_b = a > 0, b > 0
    return {"only_a": _counted(decisions, of_a & ~of_b), "only_b": _counted(decisions, of_b & ~of_a)}


def _counted(decisions: Decisions, rows: Bools) -> dict[str, int]:
    fraud = rows & decisions.known & decisions.fraud
    return {
        "alerts": int(rows.sum()),
        "frauds": int(fraud.sum()),
        "fraud_amount": int(decisions.amounts[fraud].sum()),
        "unknown": int((rows & ~decisions.known).sum()),
    }


def _curve(decisions: Decisions, a: Thresholds, b: Thresholds, cost: CostParams) -> dict[str, list[float]]:
    """Money saved, net, by review threshold, over the scores around both thresholds."""
    known = decisions.only(decisions.known)
    if not len(known):
        return {"threshold": [], "money_saved": []}
    order = np.argsort(-known.score, kind="stable")
    score = known.score[order].astype(np.float64)
    gain = np.where(known.fraud, known.amounts * cost.recovered_share, 0.0)[order] - cost.review_cost_minor
    total = np.r_[0.0, np.cumsum(gain)]
    low = min(a.review, b.review, float(np.quantile(score, 0.95)))
    high = max(a.review, b.review, float(score[0]))
    grid = np.linspace(low, high, _CURVE_POINTS)
    alerted = np.searchsorted(-score, -grid, side="right")
    return {"threshold": _rounded(grid), "money_saved": _rounded(total[alerted])}


def _daily(decisions: Decisions, a: Decided, b: Decided) -> list[dict[str, Any]]:
    """Alerts of each day."""
    of_a, of_b = a > 0, b > 0
    found = []
    for day in np.unique(decisions.days).tolist():
        rows = decisions.days == day
        date = from_us(day * DAY_US).date().isoformat()
        found.append({"day": date, "rows": int(rows.sum()), "a": int(of_a[rows].sum()), "b": int(of_b[rows].sum())})
    return found


def _period(decisions: Decisions) -> dict[str, str]:
    first, last = (
        from_us(int(moment)).isoformat(timespec="seconds") for moment in (decisions.times_us[0], decisions.times_us[-1])
    )
    return {"first": first, "last": last}


def _coded(cards: NDArray[np.int64]) -> NDArray[np.int64]:
    """Codes from 0 without gaps: what is drawn are the cards that are there."""
    return np.unique(cards, return_inverse=True)[1]


def _interval(sample: Sample, confidence: float) -> list[float | None]:
    return [rounded(end) for end in sample.interval(confidence)]


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 4) for value in values]
