"""From feature rows to the records of one transaction: decisions, alerts and dead letters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import repeat

import msgspec
import numpy as np
from numpy.typing import NDArray

from fraudline.core.card_keys import CardName
from fraudline.core.clock import now_us
from fraudline.decide.policy import ALLOW, BLOCK, DECISIONS, REVIEW
from fraudline.model.artifact import Artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.scorer import Scorer
from fraudline.model.wording import Wording
from fraudline.monitor.money import second_arm
from fraudline.monitor.selection import SAMPLE, drawn
from fraudline.stream.dead_letter import MOST_BYTES, dead_letter
from fraudline.stream.messages import Alert, Decision, DecisionWriter, ReasonMessage, Transaction, Verdict, encode
from fraudline.stream.numbers import rows_as_json
from fraudline.stream.params import StreamParams
from fraudline.stream.partition import Advanced
from fraudline.stream.scoring import InProcessScoring, Scored, Scoring
from fraudline.stream.sealing import Sealer
from fraudline.stream.settling import Settled, Settling
from fraudline.stream.trace import BatchTrace, Onward
from fraudline.stream.transport import Output, Record

ALLOWED, REVIEWED, BLOCKED = (DECISIONS[index] for index in (ALLOW, REVIEW, BLOCK))
_decision, _alert = msgspec.json.Decoder(Decision), msgspec.json.Decoder(Alert)
_output = partial(tuple.__new__, Output)


@dataclass(frozen=True)
class Judged:
    """A batch ready to be appended.

    Attributes:
        outputs: its records: decisions, then alerts, then dead letters, then cards blocked.
        sizes: how many of the first three.
        scored: what was decided; None where no record held a transaction.
        appended_ms: (n,) int64, when the record of each decision was appended, milliseconds since the epoch.
        rules: the rules that matched, once a transaction.
    """

    outputs: list[Output]
    sizes: tuple[int, int, int]
    scored: Scored | None
    appended_ms: NDArray[np.int64]
    rules: Counter[str] = field(default_factory=Counter)

    @cached_property
    def decisions(self) -> list[Decision]:
        """The decisions as they are appended; read from their bytes when they are asked for."""
        return [_decision.decode(output.value or b"") for output in self.outputs[: self.sizes[0]]]

    @cached_property
    def alerts(self) -> list[Alert]:
        """The alerts, likewise."""
        begin, size = self.sizes[:2]
        return [_alert.decode(output.value or b"") for output in self.outputs[begin : begin + size]]

    def report(self, records: int, committed_ms: float) -> "BatchReport":
        """What to say of it once it is committed at ``committed_ms`` (milliseconds since the epoch)."""
        return BatchReport(records, self, np.maximum(committed_ms - self.appended_ms, 0.0) / 1000)


@dataclass(frozen=True)
class BatchReport:
    """One committed batch, for a screen or a test.

    Attributes:
        records: records read.
        judged: what they gave.
        latencies_s: (n,) float64, seconds from the append of each transaction to the commit of its decision.
    """

    records: int
    judged: Judged
    latencies_s: NDArray[np.float64]

    @property
    def decisions(self) -> list[Decision]:
        """One a transaction."""
        return self.judged.decisions

    @property
    def alerts(self) -> list[Alert]:
        """Those that are not ``allow``."""
        return self.judged.alerts

    @property
    def dead_letters(self) -> int:
        """Records that held no transaction."""
        return self.judged.sizes[2]


class Judge:
    """Scores the rows of all partitions of a batch at once and makes its records.

    Args:
        artifact: gives the feature specification.
        scoring: in process, or an endpoint.
        params: topics and the number of reasons.
        profile_version: of the merchant tables in use; stamped on decisions.
        settling: rules and the list of blocked cards; by default neither.
        sealer: keeps cards out of decisions and dead letters.

    Attributes:
        letter_bytes: size of the records that dead letters keep whole.
    """

    def __init__(
        self,
        artifact: Artifact,
        scoring: Scoring,
        params: StreamParams,
        profile_version: str,
        settling: Settling | None = None,
        sealer: Sealer | None = None,
    ) -> None:
        self._names = artifact.spec.names
        self._wording = Wording.of(artifact.spec)
        self._spec_version = artifact.spec.version
        self._profile_version = profile_version
        self._scoring = scoring
        self._settling = settling or Settling(params, artifact.card_spec)
        self._topics = params.topics
        self._reasons = params.reasons
        self._sealer = sealer
        self._sample = params.review_sample
        self._share = params.thresholds_b_share if params.thresholds_b else 0.0
        self.letter_bytes = MOST_BYTES

    def use(self, scorer: Scorer) -> None:
        """Decide with another model of the same feature specification from the next batch on."""
        self._scoring.use(scorer)

    def use_profiles(self, version: str) -> None:
        """Stamp this version of the merchant tables on decisions from the next batch on."""
        self._profile_version = version

    def judge(self, parts: Sequence[Advanced], trace: BatchTrace | None = None) -> Judged:
        """Decide on a batch.

        Args:
            parts: of each partition.
            trace: of the batch, which what is appended carries on.

        Raises:
            UnavailableError: the endpoint does not answer.
        """
        records = [record for part in parts for record in part.records]
        transactions = [transaction for part in parts for transaction in part.transactions]
        scored: Scored | None = None
        said: list[bytes] = []
        alerts: list[tuple[int, Alert]] = []
        onward = trace.onward(records) if trace is not None else Onward.nothing(len(records))
        settled = Settled([])
        # keys of erased cards go before names come
        bad = dead_letters(self._topics.dead_letters, parts, self._sealer, self.letter_bytes)
        names = (
            self._sealer.names(transactions, before_erasure(parts, self._sealer)) if self._sealer is not None else None
        )
        if records:
            features = np.concatenate([part.features for part in parts])
            scored = self._score(features, transactions)
            passed = self._passed(transactions, scored)
            settled = self._settling.settle(records, transactions, features, _reviewed(scored, passed))
            said, alerts = self._decide(records, transactions, features, scored, passed, settled, names, onward.ids)
            scored = replace(scored, decision=settled.decision)
        keys = [transaction.card_id.encode() for transaction in transactions]
        if names is not None:
            keys = [name.pseudonym.encode() for name in names]
        outputs = list(map(_output, zip(repeat(self._topics.decisions), keys, said, onward.decisions, strict=False)))
        outputs += [
            Output(self._topics.alerts, alert.card_id.encode(), encode(alert), onward.headers[row])
            for row, alert in alerts
        ]
        outputs += bad
        outputs += settled.outputs
        appended_ms = np.fromiter((record.timestamp_ms for record in records), np.int64, len(records))
        rules = Counter(rule.id for matched in settled.rules.values() for rule in matched)
        return Judged(outputs, (len(said), len(alerts), len(bad)), scored, appended_ms, rules)

    def _decide(
        self,
        records: Sequence[Record],
        transactions: Sequence[Transaction],
        features: NDArray[np.float32],
        scored: Scored,
        passed: frozenset[int],
        settled: Settled,
        names: Sequence[CardName] | None,
        trace_ids: Sequence[str],
    ) -> tuple[list[bytes], list[tuple[int, Alert]]]:
        """The decisions as bytes, and the alerts among them with their rows."""
        reasons = self._reasons_of(features, scored)
        for row, first in settled.reasons.items():
            reasons[row] = first + reasons.get(row, [])
        rules = {row: [rule.id for rule in matched] for row, matched in settled.rules.items()}
        decided_at = now_us()
        writer = DecisionWriter(
            profile_version=self._profile_version,
            spec_version=self._spec_version,
            decided_at=decided_at,
            rule_version=self._settling.version,
            mode=self._settling.mode,
        )
        by: tuple[str, str, str] | None = None
        none: list[ReasonMessage] = []
        said: list[bytes] = []
        alerts: list[tuple[int, Alert]] = []
        rows = zip(
            transactions, records, scored.score.tolist(), settled.decision, scored.threshold, rows_as_json(features),
            zip(scored.model_version, scored.threshold_version, scored.scored_by, strict=True), strict=True,
        )  # fmt: skip
        for i, (transaction, record, score, decision, threshold, values, who) in enumerate(rows):
            if who != by:
                by = who
                writer.by(*who)
            said.append(
                writer.write(
                    transaction,
                    (record.partition, record.offset),
                    (score, decision, threshold),
                    reasons.get(i, none),
                    values,
                    scored.decision[i],
                    rules.get(i, ()),
                    card=names[i] if names is not None else None,
                    trace_id=trace_ids[i],
                    sampled=self._sample if i in passed and decision == REVIEWED else 0.0,
                )
            )
            if decision != ALLOWED:
                alerts.append((i, _alert_of(_decision.decode(said[-1]), transaction)))
        return said, alerts

    def _score(self, features: NDArray[np.float32], transactions: Sequence[Transaction]) -> Scored:
        """Score a batch; in an A/B the week's draw of each card says which thresholds decide."""
        if self._share and isinstance(self._scoring, InProcessScoring):
            second = [second_arm(each.card_id, each.event_time, self._share) for each in transactions]
            return self._scoring.score(features, np.array(second))
        return self._scoring.score(features)

    def _passed(self, transactions: Sequence[Transaction], scored: Scored) -> frozenset[int]:
        """Rows that would be blocked and pass to review, so that somebody labels them."""
        if not self._sample:
            return frozenset()
        blocked = [i for i, decision in enumerate(scored.decision) if decision == BLOCKED]
        return frozenset(i for i in blocked if drawn(transactions[i].transaction_id, self._sample, SAMPLE))

    def _reasons_of(self, features: NDArray[np.float32], scored: Scored) -> dict[int, list[ReasonMessage]]:
        """Reasons by row, of the rows that have some."""
        rows = scored.explained if scored.explained is not None else np.arange(len(features))
        found = top_reasons(
            self._names, scored.contributions, features[rows], scored.expected, self._reasons, wording=self._wording
        )
        return {
            row: [ReasonMessage(*reason) for reason in reasons]
            for row, reasons in zip(rows.tolist(), found, strict=True)
        }


def _reviewed(scored: Scored, rows: frozenset[int]) -> Scored:
    """The same, with some rows to be reviewed: a rule or the list of cards may block them nevertheless."""
    if not rows:
        return scored
    return replace(scored, decision=[REVIEWED if i in rows else each for i, each in enumerate(scored.decision)])


def dead_letters(topic: str, parts: Sequence[Advanced], sealer: Sealer | None, most: int = MOST_BYTES) -> list[Output]:
    """The dead letters of a batch, sealed where cards have keys; keys of cards that it erased are gone after it."""
    letters = [dead_letter(topic, record, reason, most) for part in parts for record, reason in part.bad]
    if sealer is not None:
        letters = [sealer.sealed(letter) for letter in letters]
        sealer.erase([record for part in parts for record in part.erasures])
    return letters


def before_erasure(parts: Sequence[Advanced], sealer: Sealer) -> frozenset[int]:
    """Rows of the batch that lie before the erasure of their card."""
    if not any(part.erasures for part in parts):
        return frozenset()
    gone = ((part, sealer.erased(part.erasures)) for part in parts)
    rows = (each for part, erased in gone for each in zip(part.records, part.transactions, repeat(erased)))
    return frozenset(i for i, (record, each, erased) in enumerate(rows) if record.offset < erased.get(each.card_id, -1))


def _alert_of(decision: Decision, transaction: Transaction) -> Alert:
    shared = {name: getattr(decision, name) for name in Verdict.__struct_fields__}
    return Alert(
        **shared | {"card_id": transaction.card_id, "card_sealed": ""},  # whoever acts on an alert needs the card
        merchant_id=transaction.merchant_id,
        amount_minor=transaction.amount_minor,
        currency=transaction.currency,
        category=transaction.category,
        channel=transaction.channel,
        country=transaction.country,
    )
