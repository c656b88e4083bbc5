"""What a score is worth on later weeks: figures with intervals, overall, per fraud kind, and beside other scores.

rows = EvaluationRows.of(table)                                   # the test rows of the features table
figures = Evaluator(rows, params, seed=7)
document = figures.document(scores, thresholds, others={"pca": pca_scores})
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.errors import DataError
from fraudline.model import metrics
from fraudline.model.bootstrap import (
    Draws,
    Sample,
    card_precision_sample,
    ranking_samples,
    threshold_samples,
    units,
)
from fraudline.model.evaluation_params import EvaluateParams
from fraudline.model.metrics import Bools, Floats, Ints
from fraudline.model.thresholds import Thresholds, budget

BELOW_BLOCK = "not_blocked"
"""Key of ``metrics.json``: figures of the rows below the threshold ``block``."""

GENERATED = "generated"
"""``origin`` in ``metrics.json`` where the transactions are made up."""

_BINS = 48
_TABLE_RATES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True)
class EvaluationRows:
    """The truth of the test rows, one entry a transaction.

    Attributes:
        labels: whether it is a fraud, bool (n,).
        cards: card code, int (n,), 0 ... cards - 1.
        days: UTC day since the epoch, int (n,).
        amounts: minor units, int (n,).
        kinds: fraud kind or "" (n,).
    """

    labels: Bools
    cards: Ints
    days: Ints
    amounts: Ints
    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, table: pa.Table) -> "EvaluationRows":
        """Take the truth from rows of ``features.parquet``.

        Raises:
            DataError: there are no rows, no frauds or no normals to measure on.
        """
        labels = table["is_fraud"].to_numpy(zero_copy_only=False).astype(bool)
        if not labels.any() or labels.all():
            raise DataError(
                f"The test period has {len(labels)} transactions and {int(labels.sum())} known frauds.",
                "Widen split.test_days, or use more days of data.",
            )
        cards = table["card_id"].combine_chunks().dictionary_encode()
        return cls(
            labels=labels,
            cards=cards.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            days=pc.cast(table["event_time"], pa.int64()).to_numpy() // DAY_US,
            amounts=table["amount_minor"].to_numpy().astype(np.int64),
            kinds=np.asarray(pc.fill_null(table["fraud_kind"], "").to_pylist(), dtype=np.str_),
        )


class Evaluator:
    """Measures scores on the same rows with the same resamples, so that differences between them are paired."""

    def __init__(self, rows: EvaluationRows, params: EvaluateParams, seed: int) -> None:
        self.rows = rows
        self.params = params
        self._seed = seed
        self._draws = Draws.of(units(params.bootstrap.unit, rows.cards), params.bootstrap.resamples, seed)

    def samples(self, scores: Floats) -> dict[str, Sample]:
        """``ap``, ``roc_auc``, ``cp<k>`` and the recalls at alert rates."""
        rows, params = self.rows, self.params
        found = ranking_samples(rows.labels, scores, self._draws, params.alert_rates)
        found[f"cp{params.card_precision_k}"] = card_precision_sample(
            rows.labels,
            scores,
            rows.cards,
            rows.days,
            k=params.card_precision_k,
            resamples=params.bootstrap.resamples,
            seed=self._seed,
        )
        return found

    def at_threshold(self, scores: Floats, threshold: float, chosen: Bools | None = None) -> dict[str, Sample]:
        """Precision, recall, F1 and money with every score at or above ``threshold`` alerted; of the chosen rows."""
        rows, cost = self.rows, self.params.cost
        among = np.ones(len(scores), bool) if chosen is None else chosen
        return threshold_samples(
            rows.labels[among],
            _alerted(scores, threshold)[among],
            rows.amounts[among],
            self._draws.rows(among),
            review_cost=cost.review_cost_minor,
            recovered_share=cost.recovered_share,
        )

    def kinds(self, scores: Floats, threshold: float) -> dict[str, dict[str, Any]]:
        """Figures of each fraud kind's positives against all normals."""
        rows = self.rows
        alerted = _alerted(scores, threshold)
        found = {}
        for kind in sorted(set(rows.kinds[rows.labels]) - {""}):
            chosen = ~rows.labels | (rows.kinds == kind)
            samples = ranking_samples(
                rows.labels[chosen], scores[chosen], self._draws.rows(chosen), self.params.alert_rates
            )
            mine = rows.labels & (rows.kinds == kind)
            sums = self._draws.sums(np.column_stack([mine & alerted, mine]).astype(np.float64))
            with np.errstate(invalid="ignore", divide="ignore"):
                samples["recall"] = Sample(sums[:, 0] / sums[:, 1])
            found[kind] = {"frauds": int(mine.sum()), **self.figures(samples)}
        return found

    def figures(self, samples: Mapping[str, Sample]) -> dict[str, Any]:
        """Flat figures, and ``intervals`` beside them; what is not a number is null."""
        confidence = self.params.bootstrap.confidence
        return {
            **{name: rounded(sample.point) for name, sample in samples.items()},
            "intervals": {name: [rounded(end) for end in s.interval(confidence)] for name, s in samples.items()},
        }

    def document(
        self,
        scores: Floats,
        thresholds: Thresholds,
        *,
        baselines: Mapping[str, Floats] | None = None,
        champion: Floats | None = None,
    ) -> dict[str, Any]:
        """Everything measured, as it stands in ``metrics.json``.

        Args:
            scores: the candidate's, (n,).
            thresholds: the candidate's; figures at a threshold are those of ``review``.
            baselines: scores of the baselines on the same rows.
            champion: scores of the champion on the same rows.

        Returns:
            Flat headline figures; ``intervals``, ``kinds``, ``baselines``, ``champion`` (with the paired differences
            candidate - champion of every resample), ``thresholds``, ``confusion`` and ``not_blocked`` (precision and
            recall of the rows below ``block``, which is all that labels tell of live traffic) nested.
        """
        rows, params = self.rows, self.params
        samples = self.samples(scores)
        at = self.at_threshold(scores, thresholds.review)
        document: dict[str, Any] = {
            **self.figures({**samples, **at}),
            "alert_rate": rounded(at["alerts"].point / len(rows.labels)),
            "rows": len(rows.labels),
            "frauds": int(rows.labels.sum()),
            "cards": len(np.unique(rows.cards)),
            "days": len(np.unique(rows.days)),
            "kinds": self.kinds(scores, thresholds.review),
            "baselines": {name: self.figures(self.samples(other)) for name, other in (baselines or {}).items()},
            "thresholds": self._table(scores, thresholds),
            "confusion": _confusion(rows.labels, scores, thresholds.review),
            BELOW_BLOCK: self._not_blocked(scores, thresholds),
            "bootstrap": params.bootstrap.model_dump(),
            "cost": params.cost.model_dump(),
        }
        if champion is not None:
            theirs = self.samples(champion)
            document["champion"] = {
                **self.figures(theirs),
                "paired": {
                    name: [rounded(v) for v in sample.values[1:] - theirs[name].values[1:]]
                    for name, sample in samples.items()
                },
            }
        return document

    def _not_blocked(self, scores: Floats, thresholds: Thresholds) -> dict[str, Any]:
        found = self.at_threshold(scores, thresholds.review, ~_alerted(scores, thresholds.block))
        return self.figures({name: found[name] for name in ("precision", "recall")})

    def _table(self, scores: Floats, thresholds: Thresholds) -> list[dict[str, Any]]:
        named = [("review", thresholds.review), ("block", thresholds.block)]
        rated = [(f"{rate * 100:.1f} % alerted", budget(scores.astype(np.float32), rate)) for rate in _TABLE_RATES]
        days = len(np.unique(self.rows.days))
        table = []
        for name, threshold in named + rated:
            found = {key: rounded(sample.point) for key, sample in self.at_threshold(scores, threshold).items()}
            table.append({"name": name, "threshold": threshold, "alerts_a_day": (found["alerts"] or 0) / days, **found})
        return table


def curves(labels: Bools, scores: Floats, threshold: float) -> dict[str, pa.Table]:
    """The tables behind the plots: ``roc``, ``pr``, ``confusion`` (a row a transaction) and ``score_hist``."""
    false, true, edges = metrics.roc_points(labels, scores)
    recall, precision = metrics.pr_points(labels, scores)
    alerted = _alerted(scores, threshold)
    names = np.array(["normal", "fraud"])
    return {
        "roc": pa.table({"fpr": false, "tpr": true, "threshold": edges}),
        "pr": pa.table({"recall": recall, "precision": precision}),
        "confusion": pa.table({"actual": names[labels.astype(int)], "predicted": names[alerted.astype(int)]}),
        "score_hist": score_histogram(labels, scores),
    }


def score_histogram(labels: Bools, scores: Floats) -> pa.Table:
    """Shares of normals and of frauds in 48 equal bins; the outermost take what lies beyond."""
    ends = [np.quantile(scores[chosen], q) for chosen, q in ((~labels, 0.001), (~labels, 0.999), (labels, 0.9))]
    low, high = float(ends[0]), float(max(ends[1:]))
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    clipped = np.clip(scores, edges[0], edges[-1])
    shares = {
        name: np.histogram(clipped[chosen], edges)[0] / max(int(chosen.sum()), 1)
        for name, chosen in (("normal", ~labels), ("fraud", labels))
    }
    return pa.table({"score": (edges[:-1] + edges[1:]) / 2, **shares})


def _alerted(scores: Floats, threshold: float) -> Bools:
    """Scores that trigger the threshold, compared in float32 as :func:`fraudline.decide.policy.decide` does."""
    triggered: Bools = scores.astype(np.float32) >= np.float32(threshold)
    return triggered


def _confusion(labels: Bools, scores: Floats, threshold: float) -> dict[str, Any]:
    alerted = _alerted(scores, threshold)
    cells = [
        [int(((labels == actual) & (alerted == said)).sum()) for said in (False, True)] for actual in (False, True)
    ]
    return {"labels": ["normal", "fraud"], "matrix": cells}


def rounded(value: float) -> float | None:
    """A figure as the documents hold it: six digits, None for what is no number."""
    return round(float(value), 6) if np.isfinite(value) else None


__all__ = ["EvaluationRows", "Evaluator", "curves", "rounded", "score_histogram"]
