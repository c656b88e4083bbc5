"""What became of decisions, by the model that made them: false alarms and missed frauds, once labels have matured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.data.importers.source import column
from fraudline.decide.decisions import read_columns, read_decisions
from fraudline.decide.policy import DECISIONS
from fraudline.monitor.canary import Arms


@dataclass(frozen=True, slots=True)
class Outcomes:
    """n decisions whose label is known.

    Attributes:
        versions: (n,) str, the model that decided.
        alerted: (n,) bool, decided other than allow.
        fraud: (n,) bool.
        days: (n,) int64 UTC day since the epoch.
    """

    versions: NDArray[Any]
    alerted: NDArray[np.bool_]
    fraud: NDArray[np.bool_]
    days: NDArray[np.int64]


def read_outcomes(file: Path, *, dataset: Path | None, label_delay_days: int) -> Outcomes:
    """Read decisions and keep those whose label is known by now.

    Args:
        file: parquet, CSV or JSON lines with ``model_version`` and ``decision``, and what
            :func:`~fraudline.decide.decisions.read_decisions` asks for.
        dataset: data set with the labels; None where the file has them.
        label_delay_days: age from which a transaction without a label is a known normal.

    Raises:
        SchemaError: a column or value is wrong.
        DataError: there is no row.
    """
    table = read_columns(file)
    versions = np.array(column(file, table, "model_version").values.to_pylist(), str)
    words = np.array(column(file, table, "decision").values.to_pylist(), str)
    found = read_decisions(file, dataset=dataset, label_delay_days=label_delay_days)
    known = found.known
    rows = found.rows[known]
    alerted = words != DECISIONS[0]
    return Outcomes(versions[rows], alerted[rows], found.fraud[known], found.days[known])


def arms_of(outcomes: Outcomes, canary: str, champion: str) -> Mapping[str, Arms]:
    """False alarms among alerts and missed ones among frauds, by day, of two models.

    Args:
        outcomes: of both.
        canary: model version.
        champion: of the other arm.
    """
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
