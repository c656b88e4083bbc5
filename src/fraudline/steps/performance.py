"""What matured labels say of a file of decisions: money, and precision and recall beside those of the evaluation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.core.errors import DataError, UsageError
from fraudline.core.files import read_json
from fraudline.data.importers import reading
from fraudline.data.importers.source import column
from fraudline.decide.decisions import decided, read_columns, read_decisions, shares
from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS
from fraudline.model.evaluation import BELOW_BLOCK
from fraudline.model.thresholds import Thresholds
from fraudline.monitor.labelled_money import Amounts
from fraudline.monitor.selection import Judged
from fraudline.steps.amounts import amounts_in
from fraudline.steps.matured import NOT_BLOCKED, judged_figures
from fraudline.steps.params import Params


def performance(
    decisions: Path, labels: Path, thresholds: Thresholds, params: Params, evaluation: Path | None = None
) -> dict[str, Any]:
    """Figures of the decisions whose label has matured.

    Args:
        decisions: a file of decisions; where it has no column ``decision``, the thresholds decide and block nothing.
        labels: the data set with their transactions and the labels that arrived.
        thresholds: what alerts.
        params: ``monitor``, ``label_delay_days``, ``evaluate`` and ``seed``.
        evaluation: ``metrics.json`` of step evaluate, to compare with.

    Returns:
        What :func:`~fraudline.steps.matured.judged_figures` does, with ``known`` (rows whose label has matured), and
        by figure the ``expected`` interval (of what is not blocked where only that is covered) and ``worse``: True
        where the two do not overlap and this one lies lower.

    Raises:
        UsageError: the decisions are a folder.
        DataError: the evaluation is missing.
    """
    if decisions.is_dir():
        raise UsageError(f"{decisions} is a folder.", "Give one file of decisions to measure performance.")
    expected = _expected(evaluation)
    table = read_columns(decisions)
    spec = params.features.rates()
    rows = read_decisions(decisions, dataset=labels, label_delay_days=params.label_delay_days, spec=spec)
    words, sampled = decided(table)[rows.rows], shares(decisions, table)[rows.rows]
    ids = reading.strings(column(decisions, table, "transaction_id")).to_pylist()
    normal = rows.known & ~rows.fraud
    matured = rows.times_us <= rows.times_us[normal].max(initial=0)  # a young fraud is known, a young normal is not
    alerted = np.where(words == "", rows.score >= np.float32(thresholds.review), words != DECISIONS[ALLOW])
    document = judged_figures(
        Judged(
            fraud=rows.fraud[matured],
            stopped=alerted[matured],
            blocked=(words == DECISIONS[BLOCK])[matured],
            sampled=sampled[matured],
            cards=rows.cards[matured],
        ),
        Amounts.of(amounts_in(labels, [ids[row] for row in rows.rows[matured]])),
        params,
    )
    if document["covers"] == NOT_BLOCKED:
        expected = expected.get(BELOW_BLOCK, {})
    before = expected.get("intervals", {})
    for name, figure in document["figures"].items():
        ends, was = figure["interval"], before.get(name)
        if was is not None and None in was:  # no fraud was left, say: all of them were blocked
            was = None
        figure |= {"expected": was, "worse": None not in (ends, was) and ends[1] < was[0]}
    return document | {"known": int(matured.sum())}


def _expected(evaluation: Path | None) -> Mapping[str, Any]:
    if evaluation is None:
        return {}
    if not evaluation.is_file():
        raise DataError(f"{evaluation} is missing.", "Name metrics.json of step evaluate.")
    metrics: Mapping[str, Any] = read_json(evaluation)
    return metrics
