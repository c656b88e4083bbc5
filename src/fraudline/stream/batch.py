"""From feature rows to the records of one transaction: decisions, alerts and dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fraudline.core.clock import now_us
from fraudline.model.artifact import Artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.wording import Wording
from fraudline.stream.messages import Alert, Decision, ReasonMessage, Transaction, Verdict, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.scoring import Scoring
from fraudline.stream.transport import Output, Record


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One committed batch, for a screen or a test.

    Attributes:
        records: records read.
        decisions: one a transaction.
        alerts: those that are not ``allow``.
        dead_letters: records that held no transaction.
        latencies_s: seconds from the append of each transaction to the commit of its decision.
    """

    records: int
    decisions: list[Decision]
    alerts: list[Alert]
    dead_letters: int
    latencies_s: list[float]


@dataclass(frozen=True, slots=True)
class Judged:
    """A batch ready to be appended."""

    outputs: list[Output]
    decisions: list[Decision]
    alerts: list[Alert]
    dead_letters: int
    appended_ms: list[int]

    def report(self, records: int, committed_ms: float) -> BatchReport:
        """What to say of it once it is committed at ``committed_ms`` (milliseconds since the epoch)."""
        latencies = [max(0.0, committed_ms - appended) / 1000 for appended in self.appended_ms]
        return BatchReport(records, self.decisions, self.alerts, self.dead_letters, latencies)


class Judge:
    """Scores the rows of all partitions of a batch at once and makes its records.

    Args:
        artifact: gives the feature specification.
        scoring: in process, or an endpoint.
        params: topics and the number of reasons.
        profile_version: of the merchant tables in use; stamped on decisions.
    """

    def __init__(self, artifact: Artifact, scoring: Scoring, params: StreamParams, profile_version: str) -> None:
        self._names = artifact.spec.names
        self._wording = Wording.of(artifact.spec)
        self._spec_version = artifact.spec.version
        self._profile_version = profile_version
        self._scoring = scoring
        self._topics = params.topics
        self._reasons = params.reasons

    def judge(self, parts: Sequence[Advanced]) -> Judged:
        """Decide on a batch.

        Raises:
            UnavailableError: the endpoint does not answer.
        """
        rows = [row for part in parts for row in zip(part.records, part.transactions, strict=True)]
        decisions = self._decide(rows, np.concatenate([part.features for part in parts])) if rows else []
        alerts = [
            _alert(decision, transaction)
            for decision, (_, transaction) in zip(decisions, rows, strict=True)
            if decision.decision != "allow"
        ]
        bad = [pair for part in parts for pair in part.bad]
        outputs = [Output(self._topics.decisions, d.card_id.encode(), encode(d)) for d in decisions]
        outputs += [Output(self._topics.alerts, alert.card_id.encode(), encode(alert)) for alert in alerts]
        outputs += [dead_letter(self._topics.dead_letters, record, reason) for record, reason in bad]
        return Judged(outputs, decisions, alerts, len(bad), [record.timestamp_ms for record, _ in rows])

    def _decide(self, rows: Sequence[tuple[Record, Transaction]], features: np.ndarray) -> list[Decision]:
        scored = self._scoring.score(features)
        reasons = top_reasons(
            self._names, scored.contributions, features, scored.expected, self._reasons, wording=self._wording
        )
        values, scores, decided_at = features.tolist(), scored.score.tolist(), now_us()
        return [
            Decision(
                transaction_id=transaction.transaction_id,
                card_id=transaction.card_id,
                event_time=transaction.event_time,
                score=scores[i],
                decision=scored.decision[i],
                threshold=scored.threshold[i],
                reasons=[ReasonMessage(*reason) for reason in reasons[i]],
                model_version=scored.model_version[i],
                threshold_version=scored.threshold_version[i],
                profile_version=self._profile_version,
                spec_version=self._spec_version,
                partition=record.partition,
                offset=record.offset,
                decided_at=decided_at,
                scored_by=scored.scored_by[i],
                features=values[i],
            )
            for i, (record, transaction) in enumerate(rows)
        ]


def dead_letter(topic: str, record: Record, reason: str) -> Output:
    """The record as it came, with the reason and the place it came from in its headers."""
    headers = (
        ("reason", reason.encode(errors="replace")),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
    )
    return Output(topic, record.key, record.value, headers)


def _alert(decision: Decision, transaction: Transaction) -> Alert:
    shared = {name: getattr(decision, name) for name in Verdict.__struct_fields__}
    return Alert(
        **shared,
        merchant_id=transaction.merchant_id,
        amount_minor=transaction.amount_minor,
        currency=transaction.currency,
    )
