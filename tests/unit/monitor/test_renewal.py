"""When a model is trained again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fraudline.monitor.renewal import Past, RenewParams, Signs, decide

MONDAY = datetime(2026, 6, 1, 6, tzinfo=UTC)
QUIET = RenewParams(schedule_days=0, drift_days=0)
DRIFTED = Signs(data="b", trained_on="a", champion="m", drifted=("amount", "score"))


def ran(signs: Signs, *, ago: timedelta, frauds: int = -1) -> list[Past]:
    return [Past(signs.run, MONDAY - ago, frauds)]


def test_without_a_sign_nothing_is_trained_and_that_is_said():
    verdict = decide(Signs(data="b", trained_on="a"), [], MONDAY, QUIET)
    assert (verdict.train, verdict.reason) == (False, "nothing asks for it")


@pytest.mark.parametrize(
    ("signs", "params", "reason"),
    [
        (DRIFTED, QUIET, "drift: amount, score"),
        (Signs(data="b", trained_on="a", worse=("recall",)), QUIET, "performance: recall fell"),
        (Signs(data="b", trained_on="a"), RenewParams(schedule_days=0, on_data=True), "data: version b"),
        (Signs(data="b", trained_on="a"), RenewParams(schedule_days=7), "schedule: no run began in 7 days"),
    ],
)  # fmt: skip
def test_each_trigger_asks_and_says_why(signs, params, reason):
    verdict = decide(signs, [], MONDAY, params)
    assert (verdict.train, verdict.reason) == (True, reason)


@pytest.mark.parametrize(
    "off", [{"on_drift": False}, {"on_performance": False}, {"new_labels": 71}, {"on_data": False}]
)
def test_a_trigger_that_is_off_or_below_its_number_does_not_ask(off):
    signs = Signs(data="b", trained_on="a", drifted=("amount",) if "on_drift" in off else (), frauds=170,
                  worse=("recall",) if "on_performance" in off else ())  # fmt: skip
    past = [Past("x", MONDAY - timedelta(days=30), 100)]
    assert not decide(signs, past, MONDAY, RenewParams(schedule_days=0, **off)).train


@pytest.mark.parametrize(
    ("before", "reason"),
    [(100, "labels: 70 newly known frauds"), (101, ""), (-1, ""), (None, "")],
    ids=["enough", "one too few", "the last run did not count", "no run yet"],
)
def test_frauds_are_new_since_a_run_that_counted_them(before, reason):
    signs = Signs(data="b", trained_on="a", frauds=170)
    past = [] if before is None else [Past("x", MONDAY - timedelta(days=30), before)]
    verdict = decide(signs, past, MONDAY, RenewParams(schedule_days=0, new_labels=70))
    assert (verdict.train, verdict.reason) == (bool(reason), reason or "nothing asks for it")


def test_data_without_a_version_are_no_new_data():
    params = RenewParams(schedule_days=0, on_data=True)
    assert decide(Signs(data="", trained_on="a"), [], MONDAY, params).reason == "nothing asks for it"


def test_two_triggers_at_once_are_one_run_with_both_reasons():
    both = Signs(data="b", trained_on="a", drifted=("amount",), worse=("recall",))
    verdict = decide(both, [], MONDAY, QUIET)
    assert verdict.triggers == ("drift", "performance")
    alone = Signs(data="b", trained_on="a", drifted=("amount",))
    assert both.run == alone.run


def test_the_same_data_and_parameters_are_trained_once_however_often_something_asks():
    past = ran(DRIFTED, ago=timedelta(days=30))
    verdict = decide(DRIFTED, past, MONDAY, QUIET)
    assert not verdict.train
    assert "learned from the same data" in verdict.reason
    assert not decide(DRIFTED, past, MONDAY, QUIET, asked="I want it").train
    other = Signs(data="b", params="other", drifted=("amount",))
    assert decide(other, past, MONDAY, QUIET).train


def test_what_the_champion_learned_from_is_not_trained_again():
    assert not decide(Signs(data="a", trained_on="a", drifted=("amount",)), [], MONDAY, QUIET).train


def test_once_runs_are_on_record_the_champions_data_may_be_trained_on_with_other_parameters():
    signs = Signs(data="a", params="other", trained_on="a", drifted=("amount",))
    assert decide(signs, ran(DRIFTED, ago=timedelta(days=30)), MONDAY, QUIET).train


def test_a_run_holds_back_others_for_the_debounce_and_within_the_budget_of_a_week():
    params = RenewParams(schedule_days=0, drift_days=0, debounce_hours=24, budget=2)
    one = [Past("x", MONDAY - timedelta(hours=23))]
    assert "less than 24 hours ago" in decide(DRIFTED, one, MONDAY, params).reason
    two = [Past("x", MONDAY - timedelta(days=6)), Past("y", MONDAY - timedelta(days=2))]
    assert "the budget is 2" in decide(DRIFTED, two, MONDAY, params).reason
    assert decide(DRIFTED, two, MONDAY + timedelta(days=1, hours=1), params).train


def test_a_person_is_held_back_by_neither():
    past = [Past("x", MONDAY - timedelta(hours=1))] * 5
    verdict = decide(DRIFTED, past, MONDAY, QUIET, asked="new categories")
    assert (verdict.train, verdict.reason) == (True, "asked: new categories")


def test_the_schedule_asks_when_no_run_began_for_so_long_whatever_had_asked_for_the_last_one():
    weekly = RenewParams(schedule_days=7, debounce_hours=0)
    signs = Signs(data="b", trained_on="a")
    assert decide(signs, [Past("x", MONDAY - timedelta(days=7))], MONDAY, weekly).triggers == ("schedule",)
    assert decide(signs, [Past("x", MONDAY - timedelta(days=6))], MONDAY, weekly).reason == "nothing asks for it"


@pytest.mark.parametrize(
    ("more", "trains"),
    [
        ({}, False),  # the schedule and the drift ask, and nothing of the drift has been learned from yet
        ({"worse": ("recall",)}, True),  # matured labels show that something is to be learned
        ({"drifted": ()}, False),  # it flickers: this look does not see it
    ],
)
def test_a_drift_that_is_young_holds_back_what_would_learn_nothing_of_it(more, trains):
    signs = replace(DRIFTED, **more)
    params = RenewParams(schedule_days=7, drift_days=14)
    young = decide(signs, [], MONDAY, params, drifting_since=MONDAY - timedelta(days=13, hours=23))
    assert young.train is trains
    if not trains:
        assert "the drift was first seen 13 days ago" in young.reason
    assert decide(signs, [], MONDAY, params, drifting_since=MONDAY - timedelta(days=14)).train


def test_where_no_drift_goes_on_the_schedule_does_not_wait_for_one():
    assert decide(replace(DRIFTED, drifted=()), [], MONDAY, RenewParams(), drifting_since=MONDAY).train


def test_a_young_drift_holds_back_neither_a_person_nor_a_schedule_that_ignores_drift():
    assert decide(DRIFTED, [], MONDAY, RenewParams(), asked="now").train
    assert decide(DRIFTED, [], MONDAY, RenewParams(on_drift=False)).triggers == ("schedule",)
    assert not decide(DRIFTED, [], MONDAY, RenewParams()).train


def test_a_run_that_began_by_a_clock_that_was_ahead_holds_no_later_run_back():
    ahead = [Past("x", MONDAY + timedelta(days=3650))]
    assert decide(DRIFTED, ahead, MONDAY, RenewParams(schedule_days=0, drift_days=0, budget=1)).train
    assert decide(Signs(data="b", trained_on="a"), ahead, MONDAY, RenewParams(schedule_days=7)).train
    assert not decide(DRIFTED, [Past(DRIFTED.run, ahead[0].at)], MONDAY, QUIET).train
