"""What the demo counts: decisions against the truth, latency, and the split between the two models."""

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fraudline.stream.messages import Decision

_RATE_WINDOW_S = 3.0
_SHOWN_ALERTS = 6


class KindRow(NamedTuple):
    """Detection of one fraud kind: ``caught`` of ``frauds`` transactions had an alert."""

    kind: str
    frauds: int
    caught: int
    cards: int
    cards_caught: int

    @property
    def recall(self) -> float:
        """Share of the kind's transactions with an alert; nan without any."""
        return self.caught / self.frauds if self.frauds else float("nan")


class Snapshot(NamedTuple):
    """The counts at one moment; latencies are milliseconds from append to committed decision."""

    decisions: int
    alerts: int
    dead_letters: int
    rate: float
    p50_ms: float
    p99_ms: float
    split: dict[str, int]
    recent: tuple[Decision, ...]


@dataclass
class Tally:
    """Thread-safe counts of one run.

    Args:
        truth: fraud kind of each fraudulent transaction id.
        card_of: card of each fraudulent transaction id.
    """

    truth: dict[str, str]
    card_of: dict[str, str]
    dead_letters: int = 0
    _decided: dict[str, str] = field(default_factory=dict)
    _split: Counter[str] = field(default_factory=Counter)
    _latency_ms: list[float] = field(default_factory=list)
    _alerted: list[Decision] = field(default_factory=list)
    _recent: deque[Decision] = field(default_factory=lambda: deque(maxlen=_SHOWN_ALERTS))
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def of(cls, transactions: pa.Table, labels: pa.Table) -> "Tally":
        """With the truth of generated traffic."""
        made = cls({}, {})
        made.know(transactions, labels)
        return made

    def know(self, transactions: pa.Table, labels: pa.Table) -> None:
        """Take the truth of generated traffic: its labels, ahead of their time."""
        kinds = dict(zip(labels["transaction_id"].to_pylist(), labels["fraud_kind"].to_pylist(), strict=True))
        cards = zip(transactions["transaction_id"].to_pylist(), transactions["card_id"].to_pylist(), strict=True)
        card_of = {transaction: card for transaction, card in cards if transaction in kinds}
        with self._lock:
            self.truth |= {t: kinds[t] for t in card_of}
            self.card_of |= card_of

    def add(self, decisions: list[Decision], latencies_ms: list[float], dead_letters: int = 0) -> None:
        """Count one committed batch."""
        with self._lock:
            for decision in decisions:
                self._decided[decision.transaction_id] = decision.decision
                self._split[decision.model_version] += 1
                if decision.decision != "allow":
                    self._recent.appendleft(decision)
                    self._alerted.append(decision)
            self._latency_ms.extend(latencies_ms)
            self._arrivals.append((time.monotonic(), len(decisions)))
            self.dead_letters += dead_letters

    def alerted(self) -> list[Decision]:
        """All decisions other than allow, in the order in which they came."""
        with self._lock:
            return list(self._alerted)

    def decision_on(self, transaction_id: str) -> str:
        """What was decided on a transaction; empty when nothing was yet."""
        with self._lock:
            return self._decided.get(transaction_id, "")

    @property
    def settled(self) -> int:
        """Records that came out: decisions and dead letters."""
        with self._lock:
            return len(self._decided) + self.dead_letters

    def snapshot(self) -> Snapshot:
        """The counts now."""
        with self._lock:
            now = time.monotonic()
            while self._arrivals and self._arrivals[0][0] < now - _RATE_WINDOW_S:
                self._arrivals.popleft()
            p50, p99 = np.percentile(self._latency_ms, (50, 99)) if self._latency_ms else (0.0, 0.0)
            return Snapshot(
                decisions=len(self._decided),
                alerts=sum(1 for decision in self._decided.values() if decision != "allow"),
                dead_letters=self.dead_letters,
                rate=sum(count for _, count in self._arrivals) / _RATE_WINDOW_S,
                p50_ms=float(p50),
                p99_ms=float(p99),
                split=dict(self._split),
                recent=tuple(self._recent),
            )

    def kinds(self) -> list[KindRow]:
        """Detection by fraud kind, and of all frauds together in the last row."""
        with self._lock:
            decided = dict(self._decided)
            frauds = [(kind, t) for t, kind in self.truth.items() if t in decided]
        names = sorted({kind for kind, _ in frauds})
        rows = [_row(name, [t for kind, t in frauds if kind == name], decided, self.card_of) for name in names]
        return [*rows, _row("all frauds", [t for _, t in frauds], decided, self.card_of)]

    def precision(self) -> float:
        """Share of alerts that are frauds; nan without an alert."""
        with self._lock:
            alerts = [t for t, decision in self._decided.items() if decision != "allow"]
            return sum(1 for t in alerts if t in self.truth) / len(alerts) if alerts else float("nan")


def _row(kind: str, transactions: list[str], decided: dict[str, str], card_of: dict[str, str]) -> KindRow:
    caught = [t for t in transactions if decided[t] != "allow"]
    return KindRow(
        kind=kind,
        frauds=len(transactions),
        caught=len(caught),
        cards=len({card_of[t] for t in transactions}),
        cards_caught=len({card_of[t] for t in caught}),
    )
