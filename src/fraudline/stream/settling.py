"""From what the model says to what is decided: rules, the list of blocked cards, and whether anything is done.

Precedence, the strongest first: a ``block`` rule; the list of blocked cards; an ``allow`` rule; the stricter of the
model and the ``review`` rules. Records are settled in order: a card that one of them blocks is blocked for the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fraudline.core.clock import HOUR_US, from_us, now_us
from fraudline.decide.policy import BLOCK, DECISIONS
from fraudline.decide.rules import Rule, RuleSet, columns_of, settle
from fraudline.features.spec import FeatureSpec
from fraudline.stream.blocked import BlockedCards
from fraudline.stream.messages import BlockedCard, ReasonMessage, Transaction, encode
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import Scored
from fraudline.stream.transport import Output, Record

RULE_FEATURE, CARD_FEATURE = "rule", "blocked_card"
"""What stands for a feature in the reasons of a rule (``rule:ID``) and of the list."""

WORKER = "worker"
_BLOCK = DECISIONS[BLOCK]


@dataclass(frozen=True, slots=True)
class Settled:
    """What n rows come to.

    Attributes:
        decision: ``allow``, ``review`` or ``block``, one a row.
        reasons: by row, those that stand before the model's.
        rules: by row, the rules that matched.
        outputs: records for the topic of blocked cards.
    """

    decision: list[str]
    reasons: dict[int, list[ReasonMessage]] = field(default_factory=dict)
    rules: dict[int, list[Rule]] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)


class Settling:
    """Applies rules and the list to a batch.

    Args:
        params: mode, topics, and how long a card stays on the list.
        spec: names the features, and has the currencies' rates.
        rules: None for none.
        cards: the list; None where it is neither kept nor honoured.
    """

    def __init__(
        self, params: StreamParams, spec: FeatureSpec, rules: RuleSet | None = None, cards: BlockedCards | None = None
    ) -> None:
        self._topic = params.topics.blocked_cards
        self._acts = params.mode == "live"
        self._hours_us = int(params.block_hours * HOUR_US)
        self._spec = spec
        self._rules = rules
        self._cards = cards
        self.version = rules.version if rules is not None else ""
        self.mode = params.mode

    def settle(
        self,
        records: Sequence[Record],
        transactions: Sequence[Transaction],
        features: NDArray[np.float32],
        scored: Scored,
    ) -> Settled:
        """Decide on the rows of a batch, in their order."""
        settled = Settled(list(scored.decision))
        if self._rules is not None:
            columns = columns_of(transactions, features, scored.score, self._spec)
            settled = self._ruled(scored.decision, self._rules.match(columns, len(transactions)))
        if self._cards is not None:
            self._honour(self._cards, records, transactions, scored.decision, settled)
        return settled

    @staticmethod
    def _ruled(by_model: list[str], matched: dict[int, list[Rule]]) -> Settled:
        decision, reasons = list(by_model), {}
        for row, rules in matched.items():
            decision[row], _ = settle(by_model[row], rules)
            reasons[row] = [
                ReasonMessage(f"{RULE_FEATURE}:{rule.id}", 0.0, 0.0, 0.0, rule.reason)
                for rule in rules
                if rule.verdict == decision[row]
            ]
        return Settled(decision, reasons, matched)

    def _honour(
        self,
        cards: BlockedCards,
        records: Sequence[Record],
        transactions: Sequence[Transaction],
        by_model: list[str],
        settled: Settled,
    ) -> None:
        """Block what a listed card does, and put on the list whose transaction was blocked for its own sake."""
        decision = settled.decision
        for row, (record, transaction) in enumerate(zip(records, transactions, strict=True)):
            at = _moment(record, transaction)
            entry = cards.blocked(record.partition, transaction.card_id, at)
            if entry is not None:
                others = settled.reasons.get(row, []) if decision[row] == _BLOCK else []  # not why it was let pass
                settled.reasons[row] = [*others, _listed(entry)]
                decision[row] = _BLOCK
            elif decision[row] == _BLOCK and self._acts and (by_model[row] == _BLOCK or _takes_card(settled, row)):
                new = BlockedCard(
                    card_id=transaction.card_id,
                    until=at + self._hours_us,
                    blocked_at=now_us(),
                    by=WORKER,
                    why=_why(settled.reasons.get(row, ())),
                    transaction_id=transaction.transaction_id,
                )
                cards.put(record.partition, new)
                settled.outputs.append(Output(self._topic, transaction.card_id.encode(), encode(new)))


def _moment(record: Record, transaction: Transaction) -> int:
    """The transaction's time, µs since the epoch: a time in the future must not outlive a block."""
    return (
        min(transaction.event_time, record.timestamp_ms * 1000) if record.timestamp_ms > 0 else transaction.event_time
    )


def _takes_card(settled: Settled, row: int) -> bool:
    """Whether one of the rules that block a transaction wants its card blocked too."""
    return any(rule.verdict == _BLOCK and rule.block_card for rule in settled.rules.get(row, ()))


def _why(reasons: Sequence[ReasonMessage]) -> str:
    return reasons[0].text if reasons else "the score reached the block threshold"


def _listed(entry: BlockedCard) -> ReasonMessage:
    until = from_us(entry.until).isoformat(timespec="seconds")
    text = f"the card is blocked until {until} by {entry.by}: {entry.why}"
    return ReasonMessage(CARD_FEATURE, 0.0, 0.0, 0.0, text)
