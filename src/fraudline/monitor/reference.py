"""Reference distributions: what the training data looked like, kept in the artifact for drift and skew.

Every transaction of the period counts, labelled or not, because production has no labels either.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.monitor.histograms import SCORE, Bins, Count

FEATURE_BINS = 20
"""Of equal share; a feature with few distinct values has fewer, one with common values more."""
RARE = (0.99, 0.998)
"""Further levels of a feature's bins: what is new in a stream is mostly rare and large."""
SCORE_BINS = 50
ROWS_A_DAY = 200
"""Rows of each day that are kept as they are, for what looks at several features at once."""


def feature_reference(names: Sequence[str], features: NDArray[np.float32]) -> pa.Table:
    """Quantile bins of every feature, finer at its upper end; a value that many rows share has a bin of its own.

    Args:
        names: d feature names.
        features: (n, d) float32.

    Returns:
        Columns ``feature``, ``bin``, ``lower`` and ``upper`` (the bin is [lower, upper), the outer ones are open),
        ``share`` of the rows, ``centre`` (the mean of the bin's values), and the feature's ``mean`` and ``sd``.
    """
    tables = []
    for index, name in enumerate(names):
        values = features[:, index].astype(np.float64)
        table = _histogram(values, _edges(features[:, index]))
        count = table.num_rows
        table = table.add_column(0, "feature", pa.array([name] * count))
        table = table.append_column("mean", pa.array(np.full(count, values.mean())))
        tables.append(table.append_column("sd", pa.array(np.full(count, values.std()))))
    return pa.concat_tables(tables)


def _edges(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Quantiles; where several are one value, what is larger begins another bin, so that a rare flag is seen."""
    levels = np.concatenate([np.linspace(0, 1, FEATURE_BINS + 1)[1:-1], RARE])
    quantiles, times = np.unique(np.quantile(values, levels, method="lower"), return_counts=True)
    shared = quantiles[times > 1]
    larger = [values[values > value].min(initial=np.nextafter(values.max(), np.float32(np.inf))) for value in shared]
    return np.unique(np.concatenate([quantiles, np.array(larger, values.dtype)])).astype(np.float64)


def score_reference(scores: NDArray[np.float32]) -> pa.Table:
    """Quantile bins of the score, finer above the 99th percentile, where decisions are made.

    Returns:
        Columns ``bin``, ``lower``, ``upper``, ``share`` and ``centre``.
    """
    values = scores.astype(np.float64)
    levels = np.concatenate([np.linspace(0, 0.99, SCORE_BINS)[1:], [0.995, 0.998, 0.999, 0.9995]])
    return _histogram(values, np.unique(np.quantile(values, levels, method="lower")))


def day_reference(
    features: pa.Table, score: pa.Table, times_us: NDArray[np.int64], columns: Sequence[NDArray[np.floating]]
) -> pa.Table:
    """How often each bin was met, by day and time of the week: what ordinary days differ by.

    Args:
        features: of :func:`feature_reference`.
        score: of :func:`score_reference`.
        times_us: (n,) int64, µs since the epoch.
        columns: the features, then the score, each (n,).
    """
    count = Count(Bins.of(features, score))
    count.add(times_us, columns)
    return count.done().table()


def row_reference(
    names: Sequence[str],
    times_us: NDArray[np.int64],
    features: NDArray[np.float32],
    scores: NDArray[np.float32],
    rows_a_day: int = ROWS_A_DAY,
) -> pa.Table:
    """Rows of every day, evenly spaced over its transactions.

    Args:
        names: d feature names.
        times_us: (n,) int64 ascending, µs since the epoch.
        features: (n, d) float32.
        scores: (n,) float32.
        rows_a_day: at most.

    Returns:
        ``event_time`` (µs since the epoch), the features and ``score``.
    """
    _, starts, counts = np.unique(times_us // DAY_US, return_index=True, return_counts=True)
    chosen = np.concatenate(
        [
            start + np.arange(min(count, rows_a_day)) * count // min(count, rows_a_day)
            for start, count in zip(starts.tolist(), counts.tolist(), strict=True)
        ]
    )
    arrays = {"event_time": pa.array(times_us[chosen])}
    arrays |= {name: pa.array(features[chosen, index]) for index, name in enumerate(names)}
    return pa.table({**arrays, SCORE: pa.array(scores[chosen])})


def _histogram(values: NDArray[np.float64], inner: NDArray[np.float64]) -> pa.Table:
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    place = np.searchsorted(inner, values, side="right")
    counts = np.bincount(place, minlength=len(edges) - 1)
    kept = np.arange(len(counts))
    sums = np.bincount(place, values, len(counts))
    empty = np.clip(edges[:-1], edges[1], edges[-2])
    return pa.table(
        {
            "bin": pa.array(kept.astype(np.int16)),
            "lower": pa.array(edges[:-1]),
            "upper": pa.array(edges[1:]),
            "share": pa.array(counts / max(len(values), 1)),
            "centre": pa.array(np.where(counts, sums / np.maximum(counts, 1), empty)),
        }
    )
