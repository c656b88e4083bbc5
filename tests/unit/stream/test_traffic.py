"""Expectations on live traffic: what is missing, out of range, unseen or late is counted by field."""

import time
from dataclasses import dataclass
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from fraudline.stream.messages import Transaction
from fraudline.stream.traffic import AMOUNT_MOST_MINOR, LATE_US, LEARNED, Traffic

NOW_US = int(time.time() * 1e6)
BASE = Transaction(
    transaction_id="t", event_time=NOW_US, card_id="c", merchant_id="m", category=5411, amount_minor=1_000,
    currency="EUR", channel="pos", card_present=True, country="DE", latitude=1.0, longitude=1.0, device_id="d",
)  # fmt: skip


@dataclass
class Counted:
    registry: CollectorRegistry
    traffic: Traffic

    @classmethod
    def new(cls) -> "Counted":
        registry = CollectorRegistry()
        return cls(registry, Traffic(registry))

    def of(self, field: str, problem: str) -> float | None:
        labels = {"field": field, "problem": problem}
        return self.registry.get_sample_value("fraudline_field_problems_total", labels)


def like(**changes: Any) -> Transaction:
    return msgspec.structs.replace(BASE, **changes)


def test_what_is_missing_and_out_of_range_is_counted_by_field() -> None:
    counted = Counted.new()
    counted.traffic.add([
        like(), like(device_id=None), like(device_id=None, country=None), like(latitude=None),
        like(amount_minor=0), like(amount_minor=AMOUNT_MOST_MINOR + 1), like(event_time=NOW_US - 2 * LATE_US),
    ])  # fmt: skip
    assert counted.of("device_id", "missing") == 2
    assert counted.of("country", "missing") == 1
    assert counted.of("position", "missing") == 1
    assert counted.of("amount_minor", "zero") == 1
    assert counted.of("amount_minor", "out_of_range") == 1
    assert counted.of("event_time", "late") == 1


def test_an_amount_is_out_of_range_by_what_it_is_in_the_base_currency() -> None:
    """A yen is .62 of a cent, a fils (a thousandth of a dinar) .3 of one, a penny 1.17."""
    counted = Counted.new()
    counted.traffic.rates = {"EUR": 1.0, "JPY": 0.62, "KWD": 0.3, "GBP": 1.17}
    most = AMOUNT_MOST_MINOR
    counted.traffic.add([like(amount_minor=most * 1.6, currency="JPY"), like(amount_minor=most * 3, currency="KWD"),
                         like(amount_minor=most, currency="EUR")])  # fmt: skip
    assert counted.of("amount_minor", "out_of_range") == 0
    counted.traffic.add([like(amount_minor=most * 1.7, currency="JPY"), like(amount_minor=most * 0.9, currency="GBP")])
    assert counted.of("amount_minor", "out_of_range") == 2


def test_every_problem_stands_at_zero_before_it_happens() -> None:
    counted = Counted.new()
    counted.traffic.add([])
    assert counted.of("category", "unseen") == 0


def test_a_category_is_unseen_once_the_first_ones_are_learned() -> None:
    counted = Counted.new()
    counted.traffic.add([like(category=1)] * (LEARNED - 1) + [like(category=2)])
    assert counted.of("category", "unseen") == 0
    counted.traffic.add([like(category=2), like(category=9), like(category=9)])
    assert counted.of("category", "unseen") == 2
    counted.traffic.add([like(category=9)])
    assert counted.of("category", "unseen") == 2


def test_the_newest_transaction_is_kept_whatever_comes_after() -> None:
    counted = Counted.new()
    counted.traffic.add([like()])
    counted.traffic.add([like(event_time=NOW_US - LATE_US)])
    newest = counted.registry.get_sample_value("fraudline_newest_event_timestamp_seconds")
    assert newest == NOW_US / 1e6


def test_a_clock_that_runs_ahead_does_not_make_the_newest_transaction_one_of_the_future() -> None:
    counted = Counted.new()
    before = time.time()
    counted.traffic.add([like(event_time=NOW_US + 70 * 365 * 86_400_000_000), like()])
    newest = counted.registry.get_sample_value("fraudline_newest_event_timestamp_seconds")
    assert newest is not None
    assert before - 1 <= newest <= time.time(), "DataStale would never fire again"
