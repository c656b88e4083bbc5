"""An A/B of two thresholds on live traffic: the difference in money, by an interval that holds at every look."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudline.core.errors import DataError, UsageError
from fraudline.core.log import get_logger
from fraudline.data.importers.source import column
from fraudline.decide.decisions import Decisions, read_columns, read_decisions, shares
from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS
from fraudline.model.evaluation_params import CostParams
from fraudline.monitor.money import WEEK_US, difference
from fraudline.steps.matured import ALL, NOT_BLOCKED
from fraudline.steps.params import Params

log = get_logger(__name__)

_NAMED = 10
_UNDECIDED = "nothing is decided: the arms block differently, and no blocked one was drawn (stream.review_sample)"
_ON_THE_REST = " on what was not blocked; both arms block alike"


def threshold_ab(*, decisions: Path, dataset: Path, a: str, b: str, params: Params) -> dict[str, Any]:
    """Compare two versions of thresholds that decided side by side (``stream.thresholds_b``).

    What an alert saves is the recovered share of a fraud's amount, less the cost of a review; one that was drawn to be
    reviewed (``sampled``) stands for as many that were blocked. Only whole weeks whose labels have all matured count,
    so that a week's units do not change between two looks; the week of the newest decision may go on.

    Args:
        decisions: parquet, CSV or JSON lines with ``threshold_version`` and ``decision``.
        dataset: data set with amounts and the labels that arrived.
        a: version of the first thresholds.
        b: of the second.
        params: ``evaluate.cost``, ``label_delay_days``, ``monitor.confidence`` and ``stream.thresholds_b_share``.

    Returns:
        ``weeks``, ``units`` (cards and weeks), ``money_a_unit``: B's less A's in minor units of ``currency``,
        ``interval``, ``stop`` and ``say``; the ``looks`` after each week; ``covers``: ``all``, or ``not blocked``
        where an arm blocked and nothing was drawn to stand for it, so that what blocking saved is in no figure. Then
        ``stop`` is true only where both arms are seen to block from the same score on.

    Raises:
        DataError: no whole week of both arms has matured.
        UsageError: both versions are the same, or one decided nothing.
    """
    if a == b:
        raise UsageError("Both arms have the same thresholds.", "Name two versions: fraudline threshold log.")
    table = read_columns(decisions)
    spec = params.features.rates()
    rows = read_decisions(decisions, dataset=dataset, label_delay_days=params.label_delay_days, spec=spec)
    versions = np.array(column(decisions, table, "threshold_version").values.to_pylist(), str)[rows.rows]
    there = sorted(set(versions.tolist()))
    if strange := sorted({a, b} - set(there)):
        raise UsageError(
            f"No decision in {decisions} was made by thresholds {strange[0]}.",
            f"Name two of its versions: {', '.join(there[:_NAMED])}{', ...' * (len(there) > _NAMED)}.",
        )
    words = np.array(column(decisions, table, "decision").values.to_pylist(), str)[rows.rows]
    blocked, sampled = words == DECISIONS[BLOCK], shares(decisions, table)[rows.rows]
    week = rows.times_us // WEEK_US
    pending = week[~rows.known & ~blocked]  # a blocked one may never get a label
    arms = (versions == a) | (versions == b)
    kept = rows.known & (week < pending.min(initial=week.max())) & arms
    saved = _saved(words, sampled, rows, params.evaluate.cost)
    covers = NOT_BLOCKED if (blocked & arms).any() and not sampled[arms].any() else ALL
    keys = np.stack([week[kept], rows.cards[kept]], axis=1)
    figures, better = _looks(keys, saved[kept], (versions == b)[kept], params)
    alike = covers == ALL or _block_alike(table, rows, versions, (a, b))
    say = f"{better} is worth more{'' if covers == ALL else _ON_THE_REST}" if alike else _UNDECIDED
    result = {
        **figures,
        "currency": spec.base_currency,
        "stop": bool(better) and alike,
        "say": say if better else "too early to say",
        "covers": covers,
    }
    log.info("threshold.ab", **{key: result[key] for key in ("weeks", "units", "money_a_unit", "say")})
    return result


def _looks(
    keys: NDArray[np.int64], saved: NDArray[np.float64], second: NDArray[np.bool_], params: Params
) -> tuple[dict[str, Any], str]:
    """The figures after each week, and the arm that was worth more when they first decided; "" where none did.

    Args:
        keys: (n, 2), week and card of each decision.
        saved: (n,) in minor units.
        second: (n,) whether B decided.
        params: ``monitor.confidence`` and ``stream.thresholds_b_share``.
    """
    if not second.any() or second.all():
        raise DataError(
            "No matured week has decisions of both thresholds.", "Wait for a week to end, and for its labels' delay."
        )
    units, place = np.unique(keys, axis=0, return_inverse=True)  # in the order of their weeks
    money = np.bincount(place.ravel(), saved).astype(np.float64)
    arm = np.bincount(place.ravel(), second) > 0
    running = difference(money, arm, params.stream.thresholds_b_share, alpha=1 - params.monitor.confidence)
    ends = np.flatnonzero(np.diff(units[:, 0], append=units[-1, 0] + 1))
    means, lows, highs = (each[ends].tolist() for each in (running.mean, running.low, running.high))
    looks = [
        {"units": end + 1, "mean": mean, "interval": [low, high]}
        for end, mean, low, high in zip(ends.tolist(), means, lows, highs, strict=True)
    ]
    decided = running.decided[ends]
    better = ("B" if means[int(np.argmax(decided))] > 0 else "A") if decided.any() else ""
    figures = {
        "weeks": len(ends),
        "units": len(units),
        "money_a_unit": float(running.mean[-1]),
        "interval": [float(running.low[-1]), float(running.high[-1])],
        "looks": looks,
    }
    return figures, better


def _block_alike(table: pa.Table, rows: Decisions, versions: NDArray[np.str_], arms: tuple[str, str]) -> bool:
    """Whether both arms block from the same score on, by the ``threshold`` that their blocked rows were above."""
    if "threshold" not in table.column_names:
        return False
    above = np.asarray(table["threshold"].to_numpy(), np.float64)[rows.rows]
    blocked = np.array(table["decision"].to_pylist(), str)[rows.rows] == DECISIONS[BLOCK]
    first, second = (set(above[blocked & (versions == arm)].tolist()) for arm in arms)
    return first == second


def _saved(
    words: NDArray[np.str_], sampled: NDArray[np.float64], rows: Decisions, cost: CostParams
) -> NDArray[np.float64]:
    """What each decision saved, (n,) in minor units; one that was drawn stands for as many that were blocked."""
    alerted = words != DECISIONS[ALLOW]
    saved = alerted * (rows.fraud * rows.amounts * cost.recovered_share - cost.review_cost_minor)
    saved *= np.divide(1.0, sampled, out=np.ones(len(sampled)), where=sampled > 0)
    if sampled.any():
        saved[words == DECISIONS[BLOCK]] = 0.0  # the drawn ones stand for these
    return np.asarray(saved, np.float64)
