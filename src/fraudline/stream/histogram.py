"""A Prometheus histogram that takes many values at once."""

import threading
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Metric
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BulkHistogram(Collector):
    """Values counted in buckets by label values, a whole array a call.

    Args:
        name: of the metric.
        documentation: its help line.
        labels: names of the labels.
        bounds: upper bounds of the buckets, ascending; one without a bound follows.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._bounds = np.array(bounds, np.float64)
        self._counts: dict[tuple[str, ...], NDArray[np.int64]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        self._lock = threading.Lock()

    def observe(self, labels: tuple[str, ...], values: NDArray[np.floating]) -> None:
        """Count ``values``; one that equals a bound falls into its bucket."""
        buckets = len(self._bounds) + 1
        counts = np.bincount(np.searchsorted(self._bounds, values), minlength=buckets)
        with self._lock:
            self._counts[labels] = self._counts.get(labels, np.zeros(buckets, np.int64)) + counts
            self._sums[labels] = self._sums.get(labels, 0.0) + float(values.sum(dtype=np.float64))

    def collect(self) -> Iterable[Metric]:
        """What has been counted."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        names = [*(f"{bound}" for bound in self._bounds.tolist()), "+Inf"]
        with self._lock:
            for labels, counts in self._counts.items():
                buckets = list(zip(names, np.cumsum(counts).tolist(), strict=True))
                family.add_metric(labels, buckets, self._sums[labels])
        return [family]
