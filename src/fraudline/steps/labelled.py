"""``features.parquet`` as training, search and evaluation take it: cut by time, with the labels known by then."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.errors import DataError
from fraudline.data.splits import Split
from fraudline.features.spec import FeatureSpec
from fraudline.features.table import TableSpec
from fraudline.steps.params import Params

RULES = "feature_rules"
"""In the metadata of the table: by what it was computed; missing where a release before made it."""

SILENT = "silent_features"
"""In the metadata of the table: features, with commas between, that mean nothing in this data set."""

KEYS = ("event_time", "is_fraud", "label_time")


@dataclass(frozen=True)
class LabelledRows:
    """Rows in time order, and what is known of them on the morning of the first test day.

    Attributes:
        table: the columns that were read.
        times: (n,) int64, µs since the epoch.
        split: the ranges of days.
        normal: (n,) bool, known to be normal.
        reported: (n,) bool, known to be a fraud.
    """

    table: pa.Table
    times: NDArray[np.int64]
    split: Split
    normal: NDArray[np.bool_]
    reported: NDArray[np.bool_]

    @classmethod
    def read(
        cls, features: Path, spec: FeatureSpec | TableSpec, params: Params, columns: Sequence[str] | None = ()
    ) -> "LabelledRows":
        """Read the folder of step featurize.

        Args:
            features: the folder.
            spec: whose features there must be, computed by its rules.
            params: ``split`` and ``label_delay_days``.
            columns: what to read beside the features and the keys; None for all that there is.

        Raises:
            DataError: there is no such file, it lacks a column, has no rows or too few days, or other rules made it.
        """
        path = features / "features.parquet"
        if not path.is_file():
            raise DataError(f"{path} is missing.", "Run the featurize step first.")
        wanted = list(dict.fromkeys([*KEYS, *(columns or ()), *spec.names]))
        schema = pq.read_schema(path)
        missing = sorted(set(wanted) - set(schema.names))
        if missing:
            raise DataError(f"{path} lacks the columns {missing[:5]}.", "Run featurize and train with one spec.")
        made_by = (schema.metadata or {}).get(RULES.encode(), b"").decode()
        if isinstance(spec, FeatureSpec) and made_by not in ("", spec.rules):
            raise DataError(
                f"{path} was computed by the rules {made_by}, the specification {spec.version} has {spec.rules}.",
                "Make features and model with one; after an edit of its file in place: `dvc repro --force featurize`.",
            )
        table = pq.read_table(path, columns=None if columns is None else wanted)
        if not table.num_rows:
            raise DataError(f"{path} has no rows.", "Bring more days of data.")
        times = pc.cast(table["event_time"], pa.int64()).to_numpy()
        split = Split.over(times, params.split, params.label_delay_days)
        frauds = table["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
        labelled = pc.fill_null(pc.cast(table["label_time"], pa.int64()), 0).to_numpy()
        normal = split.known_normal(times, labelled, frauds)
        return cls(table, times, split, normal, frauds & (labelled < split.test.start_us))


def learned_spec(features: Path, params: Params) -> FeatureSpec | TableSpec:
    """What a model of these features learns from: all that ``params`` names but those that mean nothing here.

    Args:
        features: folder of step featurize.
        params: ``features``.
    """
    spec = params.features.resolve_model()
    path = features / "features.parquet"
    if isinstance(spec, TableSpec) or not path.is_file():
        return spec
    silent = (pq.read_schema(path).metadata or {}).get(SILENT.encode(), b"").decode()
    return spec.informed(silent.split(",")) if silent else spec


def matrix_of(table: pa.Table, names: Sequence[str]) -> NDArray[np.float32]:
    """The named features, (n, d) float32, in that order."""
    columns = [table[name].to_numpy() for name in names]
    return np.column_stack(columns).astype(np.float32, copy=False)
