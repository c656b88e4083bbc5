"""What the worker tells Prometheus: one prefix, base units, and labels whose values are few and known.

Everything is counted once a batch or once a second, never once a record.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import compress, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import Counter, Gauge, Histogram

from fraudline.core.clock import SECOND_US
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact
from fraudline.model.thresholds import Thresholds
from fraudline.stream.health import HealthMetrics
from fraudline.stream.histogram import BulkHistogram
from fraudline.stream.traffic import Traffic

_LABELS = ("model", "version")
STAGES = ("advance", "score", "commit")
"""Parts of a batch: decode and advance the features, score and decide, append and commit."""
_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SCORE = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)
_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class StreamMetrics(HealthMetrics):
    """The worker's metrics in a registry of their own.

    Args:
        model: the model's name, the label ``model``.
    """

    def __init__(self, model: str) -> None:
        super().__init__("fraudline_ready", "1 when the worker can decide, as /readyz says.")
        registry, self._model = self.registry, model
        self.transactions = Counter("fraudline_transactions", "Records read and committed.", registry=registry)
        self.dead_letters = Counter("fraudline_dead_letters", "Records that hold no transaction.", registry=registry)
        self.duplicates = Counter("fraudline_duplicates", "Transactions seen before, not decided.", registry=registry)
        self.deleted_unread = Counter(
            "fraudline_deleted_unread", "Records deleted from the log before they were read.", registry=registry
        )
        self.seen_ids = Gauge("fraudline_seen_ids", "Transaction ids remembered.", registry=registry)
        self.seen_bytes = Gauge("fraudline_seen_ids_bytes", "Memory of the ids remembered.", registry=registry)
        self.recoveries = Counter("fraudline_recoveries", "Batches given up and read again.", registry=registry)
        self.lag = Gauge("fraudline_lag_records", "Records of the owned partitions not yet read.", registry=registry)
        self.champion_refused = Gauge(
            "fraudline_champion_refused",
            "1 while the pointer names a model that is not in use.",
            registry=registry,
        )
        self.champion_swaps = Counter("fraudline_champion_swaps", "Models swapped while running.", registry=registry)
        self.tables_refused = Gauge(
            "fraudline_merchant_tables_refused",
            "1 while published merchant tables are not in use.",
            registry=registry,
        )
        self.tables_swaps = Counter(
            "fraudline_merchant_tables_swaps", "Newer merchant tables taken while running.", registry=registry
        )
        self._tables = Gauge(
            "fraudline_merchant_tables_timestamp_seconds", "From when the newest table in use holds.", registry=registry
        )
        self.checkpoint_age = Gauge(
            "fraudline_checkpoint_age_seconds", "Age of the oldest checkpoint of an owned partition.", registry=registry
        )
        self.batch = Histogram(
            "fraudline_batch_records", "Records a Kafka transaction.", buckets=_BATCH, registry=registry
        )
        self.checkpoint_failures = Counter(
            "fraudline_checkpoint_failures", "Checkpoints that could not be written.", registry=registry
        )
        self.blocked_cards = Gauge("fraudline_blocked_cards", "Cards on the list, also expired.", registry=registry)
        self._rules = Counter("fraudline_rule_matches", "Transactions by matching rule.", ("rule",), registry=registry)
        self.state_cards = Gauge("fraudline_state_cards", "Cards of the owned partitions.", registry=registry)
        self.state_bytes = Gauge("fraudline_state_bytes", "Memory of their feature state.", registry=registry)
        self.traffic = Traffic(registry)
        stage = Counter("fraudline_stage_seconds", "Time spent by stage of a batch.", ("stage",), registry=registry)
        self._stages = [stage.labels(name) for name in STAGES]
        self._info = Gauge("fraudline_model_info", "1 for the model that decides.", _LABELS, registry=registry)
        self._trained = Gauge(
            "fraudline_model_trained_timestamp_seconds", "End of the days it learned from.", _LABELS, registry=registry
        )
        self._threshold = Gauge(
            "fraudline_threshold",
            "Score from which a decision is taken, in the newest batch.",
            ("decision",),
            registry=registry,
        )
        self._amounts = Counter(
            "fraudline_decided_amount", "Amounts in the base currency.", ("decision",), registry=registry
        )
        self._decisions = Counter("fraudline_decisions", "Decisions committed.", _LABELS, registry=registry)
        self._alerts = Counter("fraudline_alerts", "Decisions other than allow.", _LABELS, registry=registry)
        self._latency = BulkHistogram(
            "fraudline_decision_latency_seconds",
            "From the append of a transaction to the commit of its decision.",
            _LABELS,
            _LATENCY,
        )
        self._score = BulkHistogram("fraudline_score", "Scores, high = anomalous.", _LABELS, _SCORE)
        registry.register(self._latency)
        registry.register(self._score)

    def model_is(self, artifact: Artifact) -> None:
        """Say which model decides from now on."""
        labels = (self._model, artifact.version)
        for gauge in (self._info, self._trained):
            gauge.clear()
        self._info.labels(*labels).set(1)
        end = datetime.fromisoformat(artifact.meta.trained_on.end).replace(tzinfo=UTC)
        self._trained.labels(*labels).set(end.timestamp())

    def thresholds_are(self, held: Thresholds) -> None:
        """Say which thresholds decided on the newest batch."""
        self._threshold.labels("review").set(held.review)
        self._threshold.labels("block").set(held.block)

    def tables_are(self, tables: ProfileTable) -> None:
        """Say which merchant tables are in use from now on."""
        self._tables.set(tables.starts[-1] / SECOND_US if len(tables.starts) else 0.0)

    def staged(self, *moments: float) -> None:
        """Count a batch's time by stage: its begin, and the end of each of :data:`STAGES`, in monotonic seconds."""
        for stage, (begun, ended) in zip(self._stages, pairwise(moments), strict=True):
            stage.inc(max(ended - begun, 0.0))

    def ruled(self, matches: Mapping[str, int]) -> None:
        """Count transactions by the rule that matched them."""
        for rule, count in matches.items():
            self._rules.labels(rule).inc(count)

    def amounts(self, decisions: Sequence[str], amounts: NDArray[np.floating]) -> None:
        """Count (n,) amounts, in the base currency, by decision."""
        taken = np.array(decisions)
        for decision in dict.fromkeys(decisions):
            self._amounts.labels(decision).inc(float(amounts[taken == decision].sum(dtype=np.float64)))

    def decided(
        self,
        versions: Sequence[str],
        scores: NDArray[np.floating],
        decisions: Sequence[str],
        latencies: NDArray[np.floating],
    ) -> None:
        """Count decisions: one entry a row; ``latencies`` in seconds."""
        found = list(dict.fromkeys(versions))
        for version in found:
            rows: Any = slice(None)
            chosen = decisions
            if len(found) > 1:
                rows = np.array([other == version for other in versions])
                chosen = list(compress(decisions, rows))
            labels = (self._model, version)
            self._latency.observe(labels, latencies[rows])
            self._score.observe(labels, scores[rows])
            self._decisions.labels(*labels).inc(len(chosen))
            self._alerts.labels(*labels).inc(len(chosen) - chosen.count("allow"))
