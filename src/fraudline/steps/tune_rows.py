"""What a trial learns from and is judged by: training and validation days only, never a test day.

The validation days are cut in two. The earlier half does what validation days do in training (early stopping, residual
covariance); the later half is what the trial is judged by, so that no choice is judged on rows that made it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.digest import sha256_bytes
from fraudline.core.errors import DataError
from fraudline.data.splits import Split
from fraudline.features.spec import FeatureSpec
from fraudline.model.kinds import TrainingRows
from fraudline.steps.params import Params


@dataclass(frozen=True)
class TuneRows:
    """Rows of a search.

    Attributes:
        learned: known normals of the training days, those of the earlier validation days, and the frauds of both that
            had been reported on the morning on which the model is made.
        judged: (k, d) float32, every row of the later validation days.
        frauds: (k,) bool, reported by the morning on which the model is made.
        split: the ranges of days.
        judged_from: first µs of the later validation days, since the epoch.
        digest: twelve hex digits over what was read: a study is of one data set.
    """

    learned: TrainingRows
    judged: NDArray[np.float32]
    frauds: NDArray[np.bool_]
    split: Split
    judged_from: int
    digest: str

    @classmethod
    def read(cls, features: Path, spec: FeatureSpec, params: Params) -> "TuneRows":
        """Cut the features by time.

        Raises:
            DataError: there are no features, too few days, or no fraud to judge by.
        """
        table = _table(features, spec)
        times = pc.cast(table["event_time"], pa.int64()).to_numpy()
        split = Split.over(times, params.split, params.label_delay_days)
        frauds = table["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
        reported = pc.fill_null(pc.cast(table["label_time"], pa.int64()), 0).to_numpy()
        normal = split.known_normal(times, reported, frauds)
        middle = split.validation.start_us + split.validation.days // 2 * DAY_US
        training, validation = split.train.mask(times), split.validation.mask(times)
        earlier, judged = validation & (times < middle), validation & (times >= middle)
        known = frauds & (reported < split.test.start_us)
        truth = known[judged]
        if not truth.any() or truth.all():
            raise DataError(
                f"The later validation days have {len(truth)} rows and {int(truth.sum())} reported frauds.",
                "Widen split.validation_days: a trial is judged by their second half.",
            )
        matrix = np.column_stack([table[name].to_numpy() for name in spec.names]).astype(np.float32, copy=False)
        return cls(
            learned=TrainingRows(
                matrix[training & normal], matrix[earlier & normal], matrix[(training | earlier) & known]
            ),
            judged=matrix[judged],
            frauds=truth,
            split=split,
            judged_from=middle,
            digest=_digest(matrix, times, spec),
        )


def _table(features: Path, spec: FeatureSpec) -> pa.Table:
    path = features / "features.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing.", "Run the featurize step first.")
    present = set(pq.read_schema(path).names)
    missing = [name for name in spec.names if name not in present]
    if missing:
        raise DataError(f"{path} lacks the columns {missing[:5]}.", "Run the featurize step again.")
    table = pq.read_table(path, columns=["event_time", *spec.names, "is_fraud", "label_time"])
    if not table.num_rows:
        raise DataError(f"{path} has no rows.", "Bring more days of data.")
    return table


def _digest(matrix: NDArray[np.float32], times: NDArray[np.int64], spec: FeatureSpec) -> str:
    sums = matrix.sum(axis=0, dtype=np.float64).tobytes()
    return sha256_bytes(b"|".join([spec.version.encode(), str(len(times)).encode(), times[[0, -1]].tobytes(), sums]))[
        :12
    ]
