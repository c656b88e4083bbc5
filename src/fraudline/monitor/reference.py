"""Reference distributions: what the training data looked like, kept in the artifact for drift and skew.

Every transaction of the period counts, labelled or not, because production has no labels either.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FEATURE_BINS = 20
SCORE_BINS = 50


def feature_reference(names: Sequence[str], features: NDArray[np.float32], bins: int = FEATURE_BINS) -> pa.Table:
    """Quantile bins of every feature.

    Args:
        names: d feature names.
        features: (n, d) float32.
        bins: at most; a feature with few distinct values has fewer.

    Returns:
        Columns ``feature``, ``bin``, ``lower`` and ``upper`` (the bin is [lower, upper), the outer ones are open),
        ``share`` of the rows, and the feature's ``mean`` and ``sd``.
    """
    tables = []
    for index, name in enumerate(names):
        values = features[:, index].astype(np.float64)
        quantiles = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="lower")
        table = _histogram(values, np.unique(quantiles))
        count = table.num_rows
        table = table.add_column(0, "feature", pa.array([name] * count))
        table = table.append_column("mean", pa.array(np.full(count, values.mean())))
        tables.append(table.append_column("sd", pa.array(np.full(count, values.std()))))
    return pa.concat_tables(tables)


def score_reference(scores: NDArray[np.float32], bins: int = SCORE_BINS) -> pa.Table:
    """Quantile bins of the score, finer above the 99th percentile, where decisions are made.

    Returns:
        Columns ``bin``, ``lower``, ``upper`` and ``share``.
    """
    values = scores.astype(np.float64)
    levels = np.concatenate([np.linspace(0, 0.99, bins)[1:], [0.995, 0.998, 0.999, 0.9995]])
    return _histogram(values, np.unique(np.quantile(values, levels, method="lower")))


def _histogram(values: NDArray[np.float64], inner: NDArray[np.float64]) -> pa.Table:
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    place = np.searchsorted(inner, values, side="right")
    counts = np.bincount(place, minlength=len(edges) - 1)
    kept = np.arange(len(counts))
    return pa.table(
        {
            "bin": pa.array(kept.astype(np.int16)),
            "lower": pa.array(edges[:-1]),
            "upper": pa.array(edges[1:]),
            "share": pa.array(counts / max(len(values), 1)),
        }
    )
