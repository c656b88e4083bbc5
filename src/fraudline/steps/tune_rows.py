"""What a trial learns from and is judged by: training and validation days only, never a test day.

The validation days are cut in two. The earlier half does what validation days do in training (early stopping, residual
covariance); the later half is what the trial is judged by, so that no choice is judged on rows that made it. Normals
that look like unreported frauds are left out of what is learned, once for all trials, as step train leaves them out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import DataError
from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.model.kinds import TrainingRows
from fraudline.model.trimming import trimmed
from fraudline.steps.labelled import LabelledRows, matrix_of
from fraudline.steps.params import Params


@dataclass(frozen=True)
class TuneRows:
    """Rows of a search.

    Attributes:
        learned: known normals of the training days, those of the earlier validation days, both without the suspicious,
            and the frauds of both that had been reported on the morning on which the model is made.
        judged: (k, d) float32, every row of the later validation days.
        frauds: (k,) bool, reported by the morning on which the model is made.
        digest: twelve hex digits over these rows: a study is of one data set.
    """

    learned: TrainingRows
    judged: NDArray[np.float32]
    frauds: NDArray[np.bool_]
    digest: str

    @classmethod
    def read(cls, features: Path, spec: FeatureSpec | TableSpec, params: Params) -> "TuneRows":
        """Cut the features by time.

        Raises:
            DataError: there are no features, too few days, or no fraud to judge by.
        """
        rows = LabelledRows.read(features, spec, params)
        times, split, normal, known = rows.times, rows.split, rows.normal, rows.reported
        middle = split.validation.start_us + split.validation.days // 2 * DAY_US
        training, validation = split.train.mask(times), split.validation.mask(times)
        earlier, judged = validation & (times < middle), validation & (times >= middle)
        truth = known[judged]
        if not truth.any() or truth.all():
            raise DataError(
                f"The later validation days have {len(truth)} rows and {int(truth.sum())} reported frauds.",
                "Widen split.validation_days: a trial is judged by their second half.",
            )
        matrix = matrix_of(rows.table, spec.names)
        whole = TrainingRows(matrix[training & normal], matrix[earlier & normal], matrix[(training | earlier) & known])
        learned, _ = trimmed(whole, params.train.trim, params.seed)
        parts = (learned.normals, learned.later_normals, learned.frauds, matrix[judged], truth[:, None])
        return cls(learned, matrix[judged], truth, _digest(parts, spec))


def _digest(parts: Sequence[NDArray[Any]], spec: FeatureSpec | TableSpec) -> str:
    facts = [spec.version.encode()]
    for part in parts:
        facts += [str(len(part)).encode(), part.sum(axis=0, dtype=np.float64).tobytes()]
    return sha256_bytes(b"|".join(facts))[:12]
