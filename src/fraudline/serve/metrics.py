"""Metrics of the predictor, beside the request times that KServe registers itself.

Labels are model and version; a band of the score and a feature, where there are such, are fixed by the model.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge, Histogram

from fraudline.decide.policy import BLOCK, REVIEW
from fraudline.serve.errors import RequestError

_LABELS = ("model", "version")
_INFO = Gauge("fraudline_predictor_info", "1 for the model that this process serves.", _LABELS)
_ROWS = Counter("fraudline_predictor_rows_total", "Rows scored.", _LABELS)
_REVIEWS = Counter("fraudline_predictor_reviews_total", "Rows whose decision was review.", _LABELS)
_BLOCKS = Counter("fraudline_predictor_blocks_total", "Rows whose decision was block.", _LABELS)
_BANDS = Counter(
    "fraudline_predictor_score_band", "Rows by band of the score: quantiles of the training scores.", (*_LABELS, "band")
)
_REASONS = Counter("fraudline_predictor_reasons", "Alerted rows by their first reason.", (*_LABELS, "feature"))
_FAILED = Counter("fraudline_predictor_failed", "Requests that failed through no fault of theirs.", _LABELS)
_REFUSED = Counter("fraudline_predictor_refused_total", "Decoded requests refused for a wrong input.", _LABELS)
_SECONDS = Histogram(
    "fraudline_predictor_score_seconds",
    "Time to score and decide one request, without parsing.",
    _LABELS,
    buckets=(5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.1, 0.5),
)


QUANTILES = (0.5, 0.9, 0.99)
"""Inner edges of the bands, as shares of the training scores below them."""


def band_edges(lower: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores at :data:`QUANTILES`, from the training distribution that an artifact keeps.

    Args:
        lower: (b,) lower edges of its bins.
        share: (b,) of the rows in each.
    """
    below = np.cumsum(share) - share
    return np.array([lower[np.argmin(np.abs(below[1:] - quantile)) + 1] for quantile in QUANTILES])


class PredictorMetrics:
    """The metrics of one model and version.

    Args:
        model: its name.
        version: its version.
        features: names of its features.
        edges: of the bands of its score; None where the artifact keeps no training scores.
    """

    def __init__(
        self, model: str, version: str, *, features: Sequence[str] = (), edges: NDArray[np.float64] | None = None
    ) -> None:
        labels = (model, version)
        self._edges = edges
        self._bands = [] if edges is None else [_BANDS.labels(*labels, str(i)) for i in range(len(edges) + 1)]
        self._reasons = [_REASONS.labels(*labels, feature) for feature in features]
        self._failed = _FAILED.labels(*labels)
        _INFO.labels(*labels).set(1)
        self._rows = _ROWS.labels(*labels)
        self._reviews = _REVIEWS.labels(*labels)
        self._blocks = _BLOCKS.labels(*labels)
        self._refused = _REFUSED.labels(*labels)
        self._seconds = _SECONDS.labels(*labels)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Time a block, and count its failure unless the request is to blame."""
        try:
            with self._seconds.time():
                yield
        except RequestError:
            raise
        except Exception:
            self.failed()
            raise

    def decided(
        self, decisions: NDArray[np.int8], scores: NDArray[np.float32], contributions: NDArray[np.float32]
    ) -> None:
        """Count (n,) decisions, with their (n,) scores and (n, d) contributions."""
        self._rows.inc(len(decisions))
        if self._edges is not None:
            place = np.searchsorted(self._edges, scores, side="right")
            for band, found in zip(self._bands, np.bincount(place, minlength=len(self._bands)).tolist(), strict=True):
                band.inc(found)
        if self._reasons:
            for feature in contributions[decisions > 0].argmax(1).tolist():
                self._reasons[feature].inc()
        self._reviews.inc(int((decisions == REVIEW).sum()))
        self._blocks.inc(int((decisions == BLOCK).sum()))

    def failed(self) -> None:
        """Count one request that failed through no fault of its own."""
        self._failed.inc()

    def refused(self) -> None:
        """Count one refused request."""
        self._refused.inc()
