"""Where a model is good and where it is not: figures at the threshold for parts of the test rows.

    segment_figures(evaluator, scores, threshold, new)["card"]["new"]["recall"]

The parts are those that every data set of cards has: bands of the amount, weeks of the test period (stability), and
cards that were new. All are measured on the resamples of the whole.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, from_us
from fraudline.model.bootstrap import Sample
from fraudline.model.evaluation import Evaluator, rounded
from fraudline.model.metrics import Bools, Floats, Ints

_BANDS = (0.25, 0.5, 0.75)
"""Quantiles of the amounts that bound the bands."""
_WEEK = 7


def segment_figures(evaluator: Evaluator, scores: Floats, threshold: float, new: Bools) -> dict[str, dict[str, Any]]:
    """Figures of each part of the test rows.

    Args:
        evaluator: of the test rows.
        scores: (n,) of the test rows.
        threshold: every score at or above it is alerted.
        new: (n,) bool, rows of cards that were first seen in the test period.

    Returns:
        By ``amount`` (bands ``1`` to ``4``, with the least and the largest amount as ``from`` and ``to``, minor units),
        ``week`` (of its first day, ISO) and ``card`` (``known`` or ``new``), and by part: ``rows``, ``frauds``,
        ``alert_rate``, ``precision`` and ``recall`` with ``intervals``; null where nothing was alerted, or no fraud
        is there. Of rows that are all in one part nothing is said.
    """
    rows = evaluator.rows
    groups = {"amount": _bands(rows.amounts), "week": _weeks(rows.days), "card": {"known": ~new, "new": new}}
    found: dict[str, dict[str, Any]] = {}
    for group, parts in groups.items():
        inhabited = {name: part for name, part in parts.items() if part.any()}
        if len(inhabited) > 1:
            found[group] = {name: _figures(evaluator, scores, threshold, part) for name, part in inhabited.items()}
    for band, part in groups["amount"].items():
        if "amount" in found and band in found["amount"]:
            inside = rows.amounts[part]
            found["amount"][band] |= {"from": int(inside.min()), "to": int(inside.max())}
    return found


def _figures(evaluator: Evaluator, scores: Floats, threshold: float, part: Bools) -> dict[str, Any]:
    at = evaluator.at_threshold(scores, threshold, part)
    some = np.where(at["alerts"].values > 0, at["precision"].values, np.nan)  # of no alert none is right or wrong
    rows = int(part.sum())
    return {
        "rows": rows,
        "frauds": int(evaluator.rows.labels[part].sum()),
        "alert_rate": rounded(at["alerts"].point / rows),
        **evaluator.figures({"precision": Sample(some), "recall": at["recall"]}),
    }


def _bands(amounts: Ints) -> Mapping[str, NDArray[np.bool_]]:
    edges = np.unique(np.quantile(amounts, _BANDS, method="lower"))
    place = np.searchsorted(edges, amounts, side="left")
    return {str(band + 1): place == band for band in range(len(edges) + 1)}


def _weeks(days: Ints) -> Mapping[str, NDArray[np.bool_]]:
    """Seven days each from the first one on; the last may be shorter."""
    first = int(days.min())
    begins = range(first, int(days.max()) + 1, _WEEK)
    return {from_us(day * DAY_US).date().isoformat(): (days >= day) & (days < day + _WEEK) for day in begins}
