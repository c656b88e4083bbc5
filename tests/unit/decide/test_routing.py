"""Which alerts go together and when, on a clock of the test's own."""

from types import SimpleNamespace
from typing import Any

import pytest

from fraudline.core.errors import UsageError
from fraudline.decide.routing import (
    MOST_EXAMPLES,
    MOST_MEMBERS,
    MOST_OPEN,
    Group,
    Match,
    Rate,
    Route,
    Router,
    TokenBucket,
)


def alert(number: int = 0, **changes: Any) -> Any:
    shared = {
        "transaction_id": f"t-{number}", "card_id": f"c-{number}", "merchant_id": "m-1", "decision": "review",
        "score": float(number), "amount_minor": 100, "currency": "EUR", "decided_at": number, "rules": [],
        "mode": "live", "country": "DE", "channel": "pos", "category": 5411,
    }  # fmt: skip
    return SimpleNamespace(**{**shared, **changes})


def route(**changes: Any) -> Route:
    return Route(**{"name": "r", "sinks": ("s",), "quiet_s": 10, "most_s": 60, **changes})


def test_one_alert_alone_is_sent_when_the_quiet_time_is_over() -> None:
    router = Router([route()])
    assert router.take(alert(), (0, 5), 100.0) == 1
    assert router.due(109.9) == []
    (group,) = router.due(110.0)
    assert (group.count, group.since, group.key) == (1, {0: 5}, {"merchant_id": "m-1"})
    assert list(router.open) == []


def test_a_storm_is_one_group_until_its_time_is_over_and_its_count_is_exact() -> None:
    router = Router([route()])
    for second in range(59):
        for number in range(300):
            router.take(alert(second * 300 + number), (number % 3, second), float(second))
        assert router.due(float(second)) == []
    (group,) = router.due(60.0)
    assert group.count == 59 * 300
    assert len(group.members) == MOST_MEMBERS
    assert [each.transaction_id for each in group.examples] == [f"t-{17_699 - i}" for i in range(MOST_EXAMPLES)]
    assert group.amounts == {"EUR": 59 * 300 * 100}
    assert group.since == {0: 0, 1: 0, 2: 0}


def test_a_group_goes_on_in_the_first_trace_that_is_recorded_however_its_alerts_came_together() -> None:
    recorded, another, unrecorded = (f"00-{n:032x}-{n:016x}-{flags}" for n, flags in ((1, "01"), (2, "01"), (3, "00")))

    def traced(*contexts: str) -> Group:
        router = Router([route()])
        for number, context in enumerate(contexts):
            router.take(alert(number), (0, number), 0.0, context)
        return router.drain()[0]

    assert traced("", "").traceparent == ""
    assert traced("", unrecorded).traceparent == unrecorded
    assert traced(unrecorded, "", recorded, another).traceparent == recorded
    whole = traced("", unrecorded)
    whole.join(traced(another, recorded))
    assert whole.traceparent == another


def test_alerts_of_different_merchants_are_not_mixed_and_each_route_has_its_own() -> None:
    router = Router([
        route(name="blocks", match=Match(decision=("block",)), quiet_s=0, last=False),
        route(name="all", group_by=()),
    ])  # fmt: skip
    assert router.take(alert(1, decision="block"), (0, 0), 0.0) == 2
    assert router.take(alert(2, merchant_id="m-2"), (0, 1), 0.0) == 1
    assert [(group.route, group.count) for group in router.due(0.0)] == [("blocks", 1)]
    assert [(group.route, group.count, group.key) for group in router.due(10.0)] == [("all", 2, {})]
    assert Router([route()]).due(99.0) == []


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"decision": ["block"]}, False),
        ({"merchant_id": ["m-1", "m-2"], "country": ["DE"], "category": [5411]}, True),
        ({"channel": ["atm"]}, False),
        ({"rule": ["kp", "fast"]}, True),
        ({"rule": ["kp"]}, False),
        ({"min_score": 7.0}, True),
        ({"min_score": 7.1}, False),
        ({"mode": ["shadow"]}, False),
    ],
)
def test_a_match_takes_what_fits_in_every_field(match: dict[str, Any], fits: bool) -> None:
    assert Match.model_validate(match).fits(alert(7, rules=["fast"])) is fits


def test_an_alert_of_a_shadow_worker_goes_nowhere_unless_asked_for() -> None:
    assert not Match().fits(alert(mode="shadow"))
    assert Match(mode=("shadow",)).fits(alert(mode="shadow"))


def test_the_same_alerts_have_the_same_id_and_others_another() -> None:
    def group(numbers: list[int]) -> Group:
        router = Router([route()])
        for number in numbers:
            router.take(alert(number), (0, number), 0.0)
        return router.drain()[0]

    assert group([1, 2, 3]).id == group([1, 2, 3]).id
    assert len({group([1, 2, 3]).id, group([1, 2]).id, group([1, 2, 4]).id, group([2, 3]).id}) == 4


def test_joined_groups_say_what_they_have_in_common_and_lose_no_alert() -> None:
    router = Router([route(name="a", group_by=("merchant_id", "country"))])
    for number in range(30):
        decision = "block" if number % 5 == 0 else "review"
        router.take(alert(number, merchant_id=f"m-{number % 3}", decision=decision), (number % 2, number), 0.0)
    first, *rest = router.drain()
    whole = Group(first.route, dict(first.key), 0.0, 0.0, first.first, first.last)
    for group in [first, *rest]:
        whole.join(group)
    assert (whole.count, len(whole.members), whole.key) == (30, 30, {"country": "DE"})
    assert (len(whole.cards), whole.decisions) == (30, {"review": 24, "block": 6})
    assert whole.amounts == {"EUR": 30 * 100}
    assert whole.since == {0: 0, 1: 1}
    assert whole.examples[0].transaction_id == "t-29"
    assert (whole.route, first.count) == ("a", 10)
    whole.join(Group("b", dict(first.key), 0.0, 0.0, first.first, first.last))
    assert whole.route == "several"


def test_the_memory_of_open_groups_is_bounded() -> None:
    router = Router([route()])
    for number in range(MOST_OPEN + 3):
        router.take(alert(number, merchant_id=f"m-{number}"), (0, number), 0.0)
    assert sum(group.count for group in router.open) == MOST_OPEN + 3
    assert [group.first.transaction_id for group in router.due(0.0)] == ["t-0", "t-1", "t-2"]


def test_a_rate_gives_its_burst_at_once_and_then_what_a_minute_allows() -> None:
    bucket, sent = TokenBucket(Rate(per_minute=6, burst=2), 0.0), []
    for tenth in range(300):
        if bucket.wait_s(tenth / 10) == 0:
            bucket.take()
            sent.append(tenth / 10)
    assert sent == [0.0, 0.1, 10.0, 20.0]
    assert TokenBucket(None, 0.0).wait_s(0.0) == 0.0


def test_an_hour_without_an_alert_saves_up_no_more_than_the_burst() -> None:
    bucket, sent = TokenBucket(Rate(per_minute=60, burst=2), 0.0), 0
    while bucket.wait_s(3_600.0) == 0:
        bucket.take()
        sent += 1
    assert sent == 2


def test_a_group_that_would_be_quiet_longer_than_it_may_last_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than most_s"):
        Route.parse({"name": "r", "sinks": ["s"], "quiet_s": 90, "most_s": 60}, "alerts.yaml")
