"""The judge: successful, failed or too early to say."""

import numpy as np
import pytest

from fraudline.monitor.canary import Arms, CheckParams, JudgeParams, bands, evidence, judge, slow, thresholds

PARAMS = JudgeParams(
    checks={
        "errors": CheckParams(margin=2.0, floor=0.005),
        "alerts": CheckParams(margin=1.5, both_sides=True),
        "reasons": CheckParams(margin=1.5, role="watch", needed=False),
    },
    min_rows=500,
    min_minutes=10,
)


def arms(canary, champion, *, strata=60, n=200, m=1800, seed=0):
    rng = np.random.default_rng(seed)
    sizes = np.full((1, strata), n), np.full((1, strata), m)
    return Arms(rng.binomial(sizes[0], canary), sizes[0], rng.binomial(sizes[1], champion), sizes[1])


def one_after_the_other(*several, axis):
    """Arms joined: along the kinds of the event (0), or along the strata (1)."""
    return Arms(*(np.concatenate([getattr(each, name) for each in several], axis) for name in ("x", "n", "y", "m")))


def said(counts, *, begin=0, rows=12_000, minutes=60.0, params=PARAMS):
    return judge(counts, params, begin=dict.fromkeys(counts, begin), rows=rows, minutes=minutes)


def test_an_equal_canary_is_successful():
    result = said({"errors": arms(0.0, 0.0), "alerts": arms(0.02, 0.02)})
    assert (result["verdict"], result["overdue"]) == ("successful", False)
    assert [c["result"] for c in result["checks"]] == ["successful", "successful", "no data"]


@pytest.mark.parametrize(
    ("errors", "alerts", "named"), [(0.05, 0.02, "errors"), (0.0, 0.06, "alerts"), (0.0, 0.0, "alerts")]
)
def test_a_bad_canary_fails_and_the_reason_names_the_check(errors, alerts, named):
    result = said({"errors": arms(errors, 0.0), "alerts": arms(alerts, 0.02)})
    assert result["verdict"] == "failed"
    assert named in result["reason"]


def test_errors_below_the_floor_are_good_even_when_the_champion_has_none():
    assert said({"errors": arms(0.001, 0.0), "alerts": arms(0.02, 0.02)})["verdict"] == "successful"


def test_too_few_rows_or_minutes_are_too_early_however_good_it_looks():
    good = {"errors": arms(0.0, 0.0), "alerts": arms(0.02, 0.02)}
    assert "499 of 500 rows" in said(good, rows=499)["reason"]
    assert said(good, minutes=9.0)["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("silent", "missed", "verdict"), [(29, 1e6, "inconclusive"), (30, 99, "inconclusive"), (30, 100, "failed")]
)
def test_a_canary_that_answers_nothing_fails_once_its_share_should_have_brought_many_requests(silent, missed, verdict):
    result = judge({}, PARAMS, begin={}, rows=0, minutes=silent, silent=silent, missed=missed)
    assert result["verdict"] == verdict
    assert ("answered nothing for 30 minutes" in result["reason"]) == (verdict == "failed")


def test_a_failure_needs_no_minimum():
    bad = {"errors": arms(0.5, 0.0, strata=2), "alerts": arms(0.02, 0.02, strata=2)}
    assert said(bad, rows=10, minutes=1)["verdict"] == "failed"


def test_a_needed_check_without_data_keeps_the_canary_waiting_and_then_asks():
    result = said({"errors": arms(0.0, 0.0)}, minutes=60)
    assert "alerts" in result["reason"]
    assert not result["overdue"]
    assert said({"errors": arms(0.0, 0.0)}, minutes=PARAMS.inconclusive_minutes)["overdue"]


def test_what_is_watched_decides_nothing():
    counts = {"errors": arms(0.0, 0.0), "alerts": arms(0.02, 0.02), "reasons": arms(0.5, 0.1)}
    result = said(counts)
    assert result["verdict"] == "successful"
    assert result["checks"][2]["result"] == "failed (watched)"


def test_the_risk_of_an_unjust_revert_is_shared_by_the_checks_that_decide_and_by_no_other():
    deciding = {name: CheckParams(margin=2.0) for name in ("errors", "alerts")}
    watched = {"reasons": CheckParams(margin=2.0, role="watch"), "scores": CheckParams(margin=2.0, role="off")}
    worse, _ = thresholds(JudgeParams(checks=deciding | watched, alpha=0.01))
    assert worse == pytest.approx(np.log(2 / 0.01))


def test_a_nearer_bound_for_worse_tells_sooner_that_a_canary_lies_beyond_it():
    between = arms(0.027, 0.02)
    near, far = (evidence(between, CheckParams(margin=1.5, worse_than=bound)) for bound in (1.2, None))
    assert near.worse.max() > far.worse.max()


def test_a_canary_with_too_few_events_is_not_as_good():
    check = CheckParams(margin=1.5, both_sides=True)
    assert evidence(arms(0.005, 0.02), check).fine[-1] < np.log(20)
    assert evidence(arms(0.005, 0.02), CheckParams(margin=1.5)).fine[-1] > np.log(20)


def test_too_few_is_measured_by_the_margin_and_not_by_the_nearer_bound_for_worse():
    a_quarter_less = arms(0.161, 0.2, n=400, m=3_600)  # odds ratio 0.77: within 1/1.5, and beyond 1/1.2
    assert evidence(a_quarter_less, CheckParams(margin=1.5, worse_than=1.2, both_sides=True)).fine[-1] > np.log(20)


def test_a_check_of_several_kinds_is_as_good_when_each_kind_is():
    good, bad = arms(0.02, 0.02), arms(0.08, 0.02)
    check = CheckParams(margin=1.5)
    assert evidence(one_after_the_other(good, bad, axis=0), check).fine[-1] < np.log(20)
    assert evidence(one_after_the_other(good, good, axis=0), check).fine[-1] > np.log(20)


@pytest.mark.parametrize(("errors", "alerts", "named"), [(0.05, 0.02, "errors"), (0.0, 0.06, "alerts")])
def test_a_canary_that_turns_bad_after_days_is_found_as_soon_as_one_that_is_bad_at_once(errors, alerts, named):
    """A leak of memory, or a certificate that ends: two good days are no credit for the third."""
    good = {"errors": arms(0.0, 0.0, strata=2880), "alerts": arms(0.02, 0.02, strata=2880)}
    bad = {"errors": arms(errors, 0.0, strata=12, seed=1), "alerts": arms(alerts, 0.02, strata=12, seed=1)}
    result = said({name: one_after_the_other(good[name], bad[name], axis=1) for name in good})
    assert (result["verdict"], named in result["reason"]) == ("failed", True)
    assert said(good)["verdict"] == "successful"


def test_what_failed_at_an_earlier_step_stays_failed():
    alerts = one_after_the_other(arms(0.08, 0.02, strata=10), arms(0.002, 0.02, strata=60), axis=1)
    params = JudgeParams(checks={"alerts": CheckParams(margin=1.5)})
    assert evidence(alerts, params.checks["alerts"]).worse[-1] < 0
    assert said({"alerts": alerts}, begin=60, params=params)["verdict"] == "failed"


def test_failures_up_to_the_limit_are_tolerated_and_one_more_is_not():
    counts = {"errors": arms(0.05, 0.0), "alerts": arms(0.02, 0.02)}
    tolerant = PARAMS.model_copy(update={"failure_limit": 1_000})
    assert said(counts, params=tolerant)["verdict"] != "failed"
    assert said(counts, params=PARAMS.model_copy(update={"failure_limit": 5}))["verdict"] == "failed"


def test_successes_in_a_row_are_counted_within_the_step():
    counts = {"errors": arms(0.0, 0.0), "alerts": arms(0.02, 0.02)}
    strict = PARAMS.model_copy(update={"consecutive_success_limit": 3})
    assert said(counts, begin=58, params=strict)["verdict"] == "inconclusive"
    assert said(counts, begin=50, params=strict)["verdict"] == "successful"


def test_slow_answers_are_counted_beyond_what_a_tenth_of_the_champions_earlier_ones_took():
    champion = np.tile([800, 150, 50, 0], (3, 1))
    canary = np.tile([10, 20, 60, 10], (3, 1))
    found = slow(canary, champion)
    assert found.n.tolist() == [[0, 100, 100]]  # nothing was known before the first minute
    assert found.x.tolist() == [[0, 70, 70]]
    assert found.y.tolist() == [[0, 50, 50]]


def test_bands_count_what_lies_beyond_each_inner_edge():
    found = bands(np.array([[5, 3, 2]]), np.array([[50, 30, 20]]))
    assert found.x.tolist() == [[5], [2]]
    assert found.y.tolist() == [[50], [20]]
    assert found.n.tolist() == [[10], [10]]


def test_constant_scores_are_found_by_their_distribution():
    rng = np.random.default_rng(1)
    champion = rng.multinomial(900, [0.5, 0.4, 0.1], size=20)
    canary = np.tile([0, 100, 0], (20, 1))
    params = JudgeParams(checks={"scores": CheckParams(margin=1.5, both_sides=True)})
    result = judge({"scores": bands(canary, champion)}, params, begin={}, rows=2000, minutes=20)
    assert result["verdict"] == "failed"
