"""Metrics of the predictor, beside the request times that KServe registers itself. Labels: model and version only."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge, Histogram

from fraudline.decide.policy import BLOCK, REVIEW

_LABELS = ("model", "version")
_INFO = Gauge("fraudline_predictor_info", "1 for the model that this process serves.", _LABELS)
_ROWS = Counter("fraudline_predictor_rows_total", "Rows scored.", _LABELS)
_REVIEWS = Counter("fraudline_predictor_reviews_total", "Rows whose decision was review.", _LABELS)
_BLOCKS = Counter("fraudline_predictor_blocks_total", "Rows whose decision was block.", _LABELS)
_REFUSED = Counter("fraudline_predictor_refused_total", "Decoded requests refused for a wrong input.", _LABELS)
_SECONDS = Histogram(
    "fraudline_predictor_score_seconds",
    "Time to score and decide one request, without parsing.",
    _LABELS,
    buckets=(5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5),
)


class PredictorMetrics:
    """The metrics of one model and version."""

    def __init__(self, model: str, version: str) -> None:
        labels = (model, version)
        _INFO.labels(*labels).set(1)
        self._rows = _ROWS.labels(*labels)
        self._reviews = _REVIEWS.labels(*labels)
        self._blocks = _BLOCKS.labels(*labels)
        self._refused = _REFUSED.labels(*labels)
        self._seconds = _SECONDS.labels(*labels)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Time a block."""
        with self._seconds.time():
            yield

    def decided(self, decisions: NDArray[np.int8]) -> None:
        """Count (n,) decisions."""
        self._rows.inc(len(decisions))
        self._reviews.inc(int((decisions == REVIEW).sum()))
        self._blocks.inc(int((decisions == BLOCK).sum()))

    def refused(self) -> None:
        """Count one refused request."""
        self._refused.inc()
