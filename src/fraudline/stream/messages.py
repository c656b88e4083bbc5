"""The messages on the wire.

A transaction is one row of :data:`fraudline.data.schema.TRANSACTIONS` as a JSON object, ``event_time`` in integer
microseconds since the epoch. Unknown fields are ignored: fields are only added.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from fraudline.core.card_keys import CardName

TIME_MIN_US = 946_684_800_000_000  # 2000-01-01
TIME_MAX_US = 4_102_444_800_000_000  # 2100-01-01
AMOUNT_MAX_MINOR = 1_000_000_000_000
"""Ten thousand million units of a two-digit currency: above it a value is a mistake, not a purchase."""

MOST_CHARACTERS = 128
"""Of an identifier."""

Identifier = Annotated[str, Meta(min_length=1, max_length=MOST_CHARACTERS)]


class Transaction(Struct, frozen=True, gc=False):
    """A card transaction; the meaning of each field is in :mod:`fraudline.data.schema`."""

    transaction_id: Identifier
    event_time: Annotated[int, Meta(ge=TIME_MIN_US, lt=TIME_MAX_US)]
    card_id: Identifier
    merchant_id: Identifier
    category: Annotated[int, Meta(ge=0, le=9999)]
    amount_minor: Annotated[int, Meta(ge=0, le=AMOUNT_MAX_MINOR)]
    currency: Annotated[str, Meta(min_length=3, max_length=3)]
    channel: Literal["pos", "contactless", "atm", "ecommerce", "recurring"]
    card_present: bool
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$")] | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    device_id: Identifier | None = None


class ReasonMessage(Struct, frozen=True, gc=False):
    """One feature's share of a score, with its value and what the model expected, in the feature's unit."""

    feature: str
    share: float
    value: float
    expected: float
    text: str


class Verdict(Struct, frozen=True):
    """What a decision and its alert share: the outcome, and the versions of everything that led to it.

    ``score``: high = anomalous; ``threshold``: the one that applied. ``partition`` and ``offset``: the record;
    times are microseconds since the epoch. ``scored_by``: ``worker`` (the model in the worker), ``endpoint`` (an
    inference service), or ``fallback`` (the model in the worker, because the endpoint did not answer).
    ``rules``: ids of the rules that matched, and ``rule_version`` the rule file's; empty without one.
    ``model_decision``: what the score alone would have given. ``mode``: ``shadow`` when nothing was done about it.
    ``trace_id``: of the trace that the record came with or that was begun for it; empty without one. ``card_sealed``:
    the card under its own key (base64), where cards have keys; ``card_id`` is then a pseudonym, on decisions and not on
    alerts. ``sampled``: the share of blocked transactions that pass to review so that somebody labels them, where this
    is one of them; else 0.
    """

    transaction_id: str
    card_id: str
    event_time: int
    score: float
    decision: str
    threshold: float
    reasons: list[ReasonMessage]
    model_version: str
    threshold_version: str
    profile_version: str
    spec_version: str
    partition: int
    offset: int
    decided_at: int
    scored_by: str = "worker"
    rules: list[str] = []
    rule_version: str = ""
    model_decision: str = ""
    mode: str = "live"
    trace_id: str = ""
    card_sealed: str = ""
    sampled: float = 0.0


class Decision(Verdict, frozen=True, kw_only=True):
    """The audit trail: one for every transaction. ``features``: the d values that were scored, in the spec's order."""

    features: list[float]


class Alert(Verdict, frozen=True, kw_only=True):
    """A decision other than ``allow``, with what a reviewer needs to see."""

    merchant_id: str
    amount_minor: int
    currency: str
    category: int = 0
    channel: str = ""
    country: str | None = None


class BlockedCard(Struct, frozen=True):
    """A card on the list: the newest record of its key on the compacted topic; a tombstone takes the card off.

    Every transaction of the card is blocked whose time (its event time, or when it was appended if that is earlier)
    lies before ``until``. Times are microseconds since the epoch. ``by``: who, ``worker`` for a decision;
    ``transaction_id``: the one that was decided, empty where somebody blocked the card by hand.
    """

    card_id: str
    until: int
    blocked_at: int
    by: str
    why: str
    transaction_id: str = ""


class CardAction(Struct, frozen=True):
    """One line of the trail of what people did to the list: who, when, why. ``until``: 0 for ``unblock``.

    ``card_sealed``: as on a decision; ``card_id`` is then a pseudonym.
    """

    action: Literal["block", "unblock"]
    card_id: str
    at: int
    by: str
    why: str
    until: int = 0
    card_sealed: str = ""


class Label(Struct, frozen=True, gc=False):
    """What somebody found out about a transaction, days later: the newest ``version`` of a transaction holds.

    ``kind``: a ``chargeback`` of the card's owner, an ``analyst``'s verdict, or a ``reversal`` of either;
    ``labelled_at``: microseconds since the epoch; ``fraud_kind`` and ``by``: where they are known.
    """

    transaction_id: Identifier
    is_fraud: bool
    kind: Literal["chargeback", "analyst", "reversal"]
    version: Annotated[int, Meta(ge=1)]
    labelled_at: Annotated[int, Meta(ge=TIME_MIN_US, lt=TIME_MAX_US)]
    fraud_kind: str | None = None
    by: str = ""


_encoder = msgspec.json.Encoder()
_FIELDS = [(field.name, Any) for field in msgspec.structs.fields(Decision)]
_Line = msgspec.defstruct("_Line", _FIELDS, gc=False)


def encode(message: Transaction | Decision | Alert | BlockedCard | CardAction | Label) -> bytes:
    """One message as UTF-8 JSON."""
    return _encoder.encode(message)


class DecisionWriter:
    """Writes decisions as :func:`encode` does, one after the other, from one object that is filled again and again.

    Args:
        profile_version: stamped on every decision, as are the next two.
        spec_version: of the feature specification.
        decided_at: microseconds since the epoch.
        rule_version: of the rule file.
        mode: ``live`` or ``shadow``.
    """

    def __init__(
        self, *, profile_version: str, spec_version: str, decided_at: int, rule_version: str = "", mode: str = "live"
    ) -> None:
        stamped = {
            "profile_version": profile_version,
            "spec_version": spec_version,
            "decided_at": decided_at,
            "rule_version": rule_version,
            "mode": mode,
        }
        self._line: Any = _Line(**{name: stamped.get(name) for name, _ in _FIELDS})

    def by(self, model_version: str, threshold_version: str, scored_by: str) -> None:
        """Who decides from now on."""
        self._line.model_version = model_version
        self._line.threshold_version = threshold_version
        self._line.scored_by = scored_by

    def write(
        self,
        transaction: Transaction,
        record: tuple[int, int],
        outcome: tuple[float, str, float],
        reasons: list[ReasonMessage],
        features: bytes,
        model_decision: str = "",
        rules: Sequence[str] = (),
        *,
        trace_id: str = "",
        card: CardName | None = None,
        sampled: float = 0.0,
    ) -> bytes:
        """One decision as UTF-8 JSON.

        Args:
            transaction: what is decided on.
            record: its partition and offset.
            outcome: score, decision and threshold.
            reasons: of the score.
            features: the values scored, as a JSON array.
            model_decision: what the score alone gives.
            rules: ids of those that matched.
            trace_id: of the record's trace.
            card: what stands for the card; the card itself when not given.
            sampled: the share that it was drawn with, where it passes to review instead of being blocked.
        """
        line = self._line
        line.transaction_id = transaction.transaction_id
        line.card_id, line.card_sealed = (transaction.card_id, "") if card is None else card
        line.event_time = transaction.event_time
        line.partition, line.offset = record
        line.score, line.decision, line.threshold = outcome
        line.reasons = reasons
        line.model_decision = model_decision
        line.rules = rules
        line.trace_id = trace_id
        line.sampled = sampled
        line.features = msgspec.Raw(features)
        return _encoder.encode(line)
