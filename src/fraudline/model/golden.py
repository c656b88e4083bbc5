"""Golden rows: features with the scores that every server of the model must reproduce, to :data:`TOLERANCE`."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudline.core.errors import ArtifactError
from fraudline.model.scorer import Scores

GOLDEN_ROWS = 256
FRAUD_SHARE = 0.25
TOLERANCE = 1e-5
"""Largest difference to a golden score, relative where the score is above 1: float32 keeps seven digits."""


def choose_golden(frauds: NDArray[np.bool_], count: int = GOLDEN_ROWS) -> NDArray[np.int64]:
    """Row numbers, ascending: frauds up to a quarter of ``count``, normals for the rest, evenly over time.

    Args:
        frauds: (n,) bool, rows in time order.
        count: rows wanted; fewer where there are fewer.
    """
    fraud_rows, normal_rows = np.flatnonzero(frauds), np.flatnonzero(~frauds)
    some = _spread(fraud_rows, int(count * FRAUD_SHARE))
    return np.sort(np.concatenate([some, _spread(normal_rows, count - len(some))]))


def golden_table(names: Sequence[str], features: NDArray[np.float32], scores: Scores) -> pa.Table:
    """Columns: every feature, ``score``, ``contribution:<feature>`` and ``expected:<feature>``, all float32."""
    columns = {name: features[:, i] for i, name in enumerate(names)}
    columns["score"] = scores.score
    columns |= {f"contribution:{name}": scores.contributions[:, i] for i, name in enumerate(names)}
    columns |= {f"expected:{name}": scores.expected[:, i] for i, name in enumerate(names)}
    return pa.table({name: pa.array(values, pa.float32()) for name, values in columns.items()})


def read_golden(table: pa.Table, names: Sequence[str]) -> tuple[NDArray[np.float32], Scores]:
    """The inverse of :func:`golden_table`: features (n, d) and the scores to reproduce.

    Raises:
        ArtifactError: a column is missing.
    """
    wanted = [*names, "score", *(f"contribution:{n}" for n in names), *(f"expected:{n}" for n in names)]
    missing = sorted(set(wanted) - set(table.column_names))
    if missing:
        raise ArtifactError(f"golden.parquet lacks {', '.join(missing[:3])}.", "Run the train step again.")

    def matrix(prefix: str) -> NDArray[np.float32]:
        return np.column_stack([table[f"{prefix}{name}"].to_numpy() for name in names]).astype(np.float32, copy=False)

    score = table["score"].to_numpy().astype(np.float32, copy=False)
    return matrix(""), Scores(score, matrix("contribution:"), matrix("expected:"))


def differences(found: NDArray[np.float32], golden: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each of k scores lies from its golden one, ``(k,)``, as :data:`TOLERANCE` counts; infinite for no number.

    >>> differences(np.array([1.0, 2.5], np.float32), np.array([1.0, 2.0, 3.0], np.float32)).tolist()
    [0.0, 0.25]
    """
    wanted = golden[: len(found)].astype(np.float64)
    off = np.abs(found.astype(np.float64) - wanted) / np.maximum(1.0, np.abs(wanted))
    return np.where(np.isfinite(off), off, np.inf)


def _spread(rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).round().astype(np.int64)]
