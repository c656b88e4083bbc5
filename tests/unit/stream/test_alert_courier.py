"""A courier sends everything in the end, says what it could not, and outlives whatever a sink does."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from fraudline.core.errors import UnavailableError
from fraudline.decide.routing import Group, Rate
from fraudline.stream.alert_courier import MOST_WAITING, Courier
from fraudline.stream.alert_metrics import AlertMetrics
from fraudline.stream.alert_sinks import PartlyTakenError, TopicSink
from fraudline.stream.messages import Alert
from tests.support.until import until

ALERT = Alert(
    transaction_id="t", card_id="c", event_time=1, score=7.5, decision="review", threshold=5.0, reasons=[],
    model_version="m", threshold_version="t", profile_version="p", spec_version="s", partition=0, offset=0,
    decided_at=1, merchant_id="m-1", amount_minor=100, currency="EUR",
)  # fmt: skip


def group(number: int) -> Group:
    found = Group("r", {"merchant_id": f"m-{number}"}, 0.0, 0.0, ALERT, ALERT)
    found.add(ALERT, (0, number), 0.0)
    return found


class Desk:
    """Takes events as a sink, fails as told, and keeps books on everything."""

    def __init__(self, answer: Callable[[int], Exception | None] = lambda _: None, **settings: Any) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.letters: list[tuple[Mapping[str, Any], Mapping[str, str]]] = []
        self.finished: list[Group] = []
        self.tries = self.burials = 0
        self.open = threading.Event()
        self.open.set()
        self.lost_letters = 0
        self.refused: tuple[str, ...] = ()
        self._answer = answer
        self.metrics = AlertMetrics()
        self.courier = Courier(
            "desk",
            TopicSink(kind="topic", topic="t", **{"first_wait_s": 1e-3, "most_wait_s": 2e-3, **settings}),
            self,
            source="/fraudline/test",
            dead_letters=self.bury,
            done=self.finished.append,
            metrics=self.metrics,
        )

    def send(self, event: Mapping[str, Any], key: str) -> tuple[str, ...]:
        self.open.wait(60)
        self.tries += 1
        if (error := self._answer(self.tries)) is not None:
            raise error
        self.events.append(event)
        return self.refused

    def bury(self, event: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.burials += 1
        if self.burials <= self.lost_letters:
            raise UnavailableError("the broker is away")
        self.letters.append((event, headers))

    def close(self) -> None:
        pass

    def alerts(self) -> int:
        return sum(event["data"].get("count", 1) for event in self.events)


@pytest.fixture
def desk():
    made: list[Desk] = []

    def make(*arguments: Any, **settings: Any) -> Desk:
        made.append(Desk(*arguments, **settings))
        return made[-1]

    yield make
    for each in made:
        each.open.set()
        each.courier.stop(5)


def test_what_the_rate_does_not_allow_is_sent_as_one_and_no_alert_is_lost(desk) -> None:
    found = desk(rate=Rate(per_minute=300, burst=2))
    for number in range(50):
        found.courier.give(group(number))
    until(lambda: len(found.finished) == 50, "all finished")
    assert found.alerts() == 50
    assert 3 <= len(found.events) <= 5


def test_the_memory_of_a_courier_whose_sink_hangs_is_bounded_and_no_alert_is_lost(desk) -> None:
    found = desk()
    found.open.clear()
    for number in range(3 * MOST_WAITING):
        found.courier.give(group(number))
    found.open.set()
    until(lambda: len(found.finished) == 3 * MOST_WAITING, "all finished")
    assert found.alerts() == 3 * MOST_WAITING
    assert len(found.events) <= MOST_WAITING + 2


def test_a_sink_that_breaks_as_nobody_thought_makes_a_dead_letter_and_the_next_is_sent(desk) -> None:
    found = desk(lambda tries: ZeroDivisionError("oops") if tries == 1 else None)
    found.lost_letters = 2
    found.courier.give(group(1))
    found.courier.give(group(2))
    until(lambda: len(found.finished) == 2, "both finished")
    ((event, headers),) = found.letters
    assert headers["reason"] == "ZeroDivisionError: oops"
    assert found.burials == 3
    assert event["type"] == "fraudline.alert.v1"
    assert found.alerts() == 1


def test_a_sinks_counters_stand_at_nothing_before_its_first_event_or_its_first_loss_would_be_no_increase(desk) -> None:
    registry = desk().metrics.registry
    for name in ("dead_letters", "addresses_refused", "events_failed", "events_sent"):
        assert registry.get_sample_value(f"fraudline_alert_{name}_total", {"sink": "desk"}) == 0


def test_a_courier_that_is_stopped_in_its_patience_leaves_the_alert_unfinished(desk) -> None:
    found = desk(lambda _: UnavailableError("away"), first_wait_s=60, most_wait_s=60, attempts=100)
    found.courier.give(group(1))
    until(lambda: found.tries, "a try")
    found.courier.stop(5)
    assert (found.finished, found.letters) == ([], [])


def test_a_courier_that_is_no_longer_wanted_sends_what_it_has(desk) -> None:
    found = desk()
    found.open.clear()
    for number in range(5):
        found.courier.give(group(number))
    found.courier.finish()
    found.open.set()
    until(lambda: len(found.finished) == 5, "all finished")
    assert found.alerts() == 5


def test_an_alert_that_no_event_can_be_made_of_is_a_dead_letter_and_the_next_is_sent(desk) -> None:
    found, odd = desk(), msgspec.structs.replace(ALERT, decided_at="noon", transaction_id="odd")
    broken = Group("r", {}, 0.0, 0.0, odd, odd)
    broken.add(odd, (0, 0), 0.0)
    found.courier.give(broken)
    found.courier.give(group(1))
    until(lambda: len(found.finished) == 2, "both finished")
    ((event, headers),) = found.letters
    assert (event["data"]["transaction_ids"], headers["reason"][:5]) == (["odd"], "No ev")
    assert found.alerts() == 1


def test_one_try_that_failed_is_counted_once(desk) -> None:
    found = desk(lambda tries: UnavailableError("503") if tries == 1 else None)
    found.courier.give(group(1))
    until(lambda: found.finished, "finished")
    counted = found.courier._metrics.registry.get_sample_value
    assert counted("fraudline_alert_events_failed_total", {"sink": "desk"}) == 1


@pytest.mark.parametrize("taken", [True, False])
def test_who_refuses_an_event_for_now_is_tried_again_and_named_after_the_last_try(desk, taken: bool) -> None:
    refused = ("busy@example.com: 450 Try again later",)
    found = desk(lambda tries: None if taken and tries == 3 else PartlyTakenError("not yet", refused), attempts=3)
    with capture_logs() as said:
        found.courier.give(group(1))
        until(lambda: found.finished, "finished")
    counted = found.metrics.registry.get_sample_value
    assert (found.tries, found.letters) == (3, [])
    assert counted("fraudline_alert_events_sent_total", {"sink": "desk"}) == 1
    assert counted("fraudline_alert_addresses_refused_total", {"sink": "desk"}) == 1 - taken
    named = [entry["addresses"] for entry in said if entry["event"] == "alerts.addresses_refused"]
    assert named == [] if taken else [refused]


def test_addresses_that_a_sink_refused_are_counted_and_named_and_nobody_gets_the_event_twice(desk) -> None:
    found = desk()
    found.refused = ("gone@example.com: 550 No such user",)
    with capture_logs() as said:
        found.courier.give(group(1))
        until(lambda: found.finished, "finished")
    counted = found.courier._metrics.registry.get_sample_value
    assert counted("fraudline_alert_addresses_refused_total", {"sink": "desk"}) == 1
    assert (found.tries, found.letters) == (1, [])
    assert [entry["addresses"] for entry in said if entry["event"] == "alerts.addresses_refused"] == [found.refused]
