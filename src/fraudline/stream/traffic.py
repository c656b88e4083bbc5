"""Expectations on live traffic, counted as it comes: what is missing, out of range, or never seen before.

    traffic = Traffic(registry)
    traffic.add(transactions)            # one call a batch

A decoder refuses what is no transaction (a dead letter); this counts what is one and yet unusual, so that a rule can
hold a window's share against a bound. Labels are fixed names: a field and what is wrong with it.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter

from prometheus_client import CollectorRegistry, Counter, Gauge

from fraudline.core.clock import now_us
from fraudline.data.params import ValidateParams
from fraudline.stream.messages import Transaction

AMOUNT_MOST_MINOR = ValidateParams().max_amount_minor
"""The largest credible amount, in minor units of the base currency."""
LATE_US = 3_600_000_000
"""A transaction that comes later than an hour after it happened is late."""
LEARNED = 10_000
"""Transactions after which a category that was not among them counts as unseen."""
PROBLEMS = (
    ("country", "missing"),
    ("position", "missing"),
    ("device_id", "missing"),
    ("amount_minor", "out_of_range"),
    ("amount_minor", "zero"),
    ("category", "unseen"),
    ("event_time", "late"),
)

_country, _latitude = attrgetter("country"), attrgetter("latitude")
_device, _amount, _currency = attrgetter("device_id"), attrgetter("amount_minor"), attrgetter("currency")
_category, _time = attrgetter("category"), attrgetter("event_time")


class Traffic:
    """Counters of a worker's transactions.

    Args:
        registry: where they are registered.

    Attributes:
        rates: by currency, minor units of the base currency for one of its own; 1 where none is given.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._values = Counter(
            "fraudline_field_problems",
            "Values of transactions that are missing, out of range, unseen or late.",
            ("field", "problem"),
            registry=registry,
        )
        self._problems = {pair: self._values.labels(*pair) for pair in PROBLEMS}
        self._newest = Gauge(
            "fraudline_newest_event_timestamp_seconds", "Time of the newest transaction read.", registry=registry
        )
        self.rates: Mapping[str, float] = {}
        self._seen: set[int] = set()
        self._rows = 0
        self._newest_us = 0

    def add(self, transactions: Sequence[Transaction]) -> None:
        """Count a batch."""
        if not transactions:
            return
        amounts, times = list(map(_amount, transactions)), list(map(_time, transactions))
        present = now_us()
        late = present - LATE_US
        found = {
            ("country", "missing"): list(map(_country, transactions)).count(None),
            ("position", "missing"): list(map(_latitude, transactions)).count(None),
            ("device_id", "missing"): list(map(_device, transactions)).count(None),
            ("amount_minor", "zero"): amounts.count(0),
            ("category", "unseen"): self._unseen(list(map(_category, transactions))),
        }
        if max(amounts) * max([1.0, *self.rates.values()]) > AMOUNT_MOST_MINOR:
            found["amount_minor", "out_of_range"] = sum(
                amount * self.rates.get(currency, 1.0) > AMOUNT_MOST_MINOR
                for amount, currency in zip(amounts, map(_currency, transactions), strict=True)
            )
        if min(times) < late:
            found["event_time", "late"] = sum(time < late for time in times)
        for pair, count in found.items():
            if count:
                self._problems[pair].inc(count)
        self._newest_us = max(self._newest_us, min(max(times), present))  # a clock that runs ahead is not believed
        self._newest.set(self._newest_us / 1e6)

    def _unseen(self, categories: Sequence[int]) -> int:
        new = set(categories) - self._seen
        unseen = sum(category in new for category in categories) if new and self._rows >= LEARNED else 0
        self._seen |= new
        self._rows += len(categories)
        return unseen
