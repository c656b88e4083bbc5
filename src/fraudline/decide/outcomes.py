"""What became of decisions, by the model that made them: false alarms and missed frauds, once labels have matured.

A blocked transaction never gets a chargeback, so it counts nowhere. Those that were drawn with a share p to be reviewed
instead stand for it: of all other rows as many are drawn, so that each row is one trial of the same weight, as the
e-processes of :mod:`fraudline.monitor.canary` ask. Weights of 1/p would count one row as many.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.data.importers.source import column
from fraudline.decide.decisions import read_columns, read_decisions, shares
from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS
from fraudline.features.spec import FeatureSpec
from fraudline.monitor.canary import Arms
from fraudline.monitor.selection import place

_THINNING = "outcomes"


@dataclass(frozen=True, slots=True)
class Outcomes:
    """n decisions whose label is known, none of them blocked.

    Attributes:
        covers_blocked: whether they stand for what was blocked, too; True where nothing was.
        versions: (n,) str, the model that decided.
        alerted: (n,) bool, decided other than allow.
        fraud: (n,) bool.
        days: (n,) int64 UTC day since the epoch.
    """

    covers_blocked: bool
    versions: NDArray[Any]
    alerted: NDArray[np.bool_]
    fraud: NDArray[np.bool_]
    days: NDArray[np.int64]


def read_outcomes(
    file: Path, *, dataset: Path | None, label_delay_days: int, spec: FeatureSpec | None = None
) -> Outcomes:
    """Read decisions and keep those whose label is known by now.

    Args:
        file: parquet, CSV or JSON lines with ``model_version`` and ``decision``, and what
            :func:`~fraudline.decide.decisions.read_decisions` asks for; with ``transaction_id`` where any was
            ``sampled``.
        dataset: data set with the labels; None where the file has them.
        label_delay_days: age from which a transaction without a label is a known normal.
        spec: knows the currencies; the packaged specification when not given.

    Raises:
        SchemaError: a column or value is wrong.
        DataError: there is no row.
    """
    table = read_columns(file)
    versions = np.array(column(file, table, "model_version").values.to_pylist(), str)
    words = np.array(column(file, table, "decision").values.to_pylist(), str)
    found = read_decisions(file, dataset=dataset, label_delay_days=label_delay_days, spec=spec)
    blocked, sampled = words == DECISIONS[BLOCK], shares(file, table)
    kept = ~blocked
    if sampled.any():
        least = sampled[sampled > 0].min()
        ids = column(file, table, "transaction_id").values.to_pylist()
        places = np.array([place(str(name), _THINNING) for name in ids])
        kept &= places < np.divide(least, sampled, out=np.full(len(sampled), least), where=sampled > 0)
    known = found.known & kept[found.rows]
    rows = found.rows[known]
    return Outcomes(
        covers_blocked=bool(sampled.any() or not blocked.any()),
        versions=versions[rows],
        alerted=(words != DECISIONS[ALLOW])[rows],
        fraud=found.fraud[known],
        days=found.days[known],
    )


def arms_of(outcomes: Outcomes, canary: str, champion: str) -> Mapping[str, Arms]:
    """False alarms among alerts and missed ones among frauds, by day, of two models.

    Nothing where blocked ones are not covered: the model that blocks more of the frauds would look worse on the rest.

    Args:
        outcomes: of both.
        canary: model version.
        champion: of the other arm.
    """
    if not outcomes.covers_blocked:
        return {}
    sides = [outcomes.versions == version for version in (canary, champion)]
    days, day = np.unique(outcomes.days, return_inverse=True)
    asked = {
        "false_alarms": (outcomes.alerted, ~outcomes.fraud),
        "missed_frauds": (outcomes.fraud, ~outcomes.alerted),
    }
    found = {}
    for name, (trial, event) in asked.items():
        counts = []
        for side in sides:
            counts += [np.bincount(day[side & trial & event], minlength=len(days))]
            counts += [np.bincount(day[side & trial], minlength=len(days))]
        if counts[1].any() and counts[3].any():
            found[name] = Arms(*(np.asarray(c, np.int64)[None] for c in counts))
    return found
