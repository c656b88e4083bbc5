"""What a registry entry is.

A family is fitted once a week and seed, and may give several models (a score with and without one of its parts).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.protocol import ROLES
from benchmarks.quality.rows import Week

Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]


@dataclass(frozen=True)
class Outcome:
    """What a fitted model gives on the scored rows: (n,) scores, high = anomalous, and CPU seconds.

    The seconds are 0 of a part that is not fitted and scored by itself.
    """

    scores: NDArray[np.float64]
    fit_s: float
    score_s: float


@dataclass(frozen=True)
class Family:
    """One recipe.

    Attributes:
        name: what ``--models`` asks for.
        group: heading in the report.
        columns: the set of features, a key of ``SETS``.
        outputs: the models that it gives.
        settings: everything that was chosen; part of the digest.
        sources: files or folders whose code decides the scores; part of the digest.
        run: fits a week with a seed and scores it, one outcome an output.
        seeded: whether the seed changes anything; one is enough where it does not.
        roles: the weeks that it is measured on: what only serves a choice never sees a test week.
    """

    name: str
    group: str
    columns: str
    outputs: tuple[str, ...]
    settings: Mapping[str, Any]
    sources: tuple[Path, ...]
    run: Callable[[Week, int], Mapping[str, Outcome]]
    seeded: bool = True
    roles: tuple[str, ...] = ROLES


def timed(name: str, fit: Callable[[], Score], rows: NDArray[np.float32]) -> dict[str, Outcome]:
    """Fit and score by the CPU clock of this process."""
    begun = time.process_time()
    score = fit()
    fitted = time.process_time()
    scores = score(rows)
    return {name: Outcome(scores, fitted - begun, time.process_time() - fitted)}
