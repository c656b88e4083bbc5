"""The judge: successful, failed or too early to say."""

import numpy as np
import pytest

from fraudline.monitor.canary import Arms, CheckParams, JudgeParams, bands, judge, slow

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


def said(counts, *, begin=0, rows=12_000, minutes=60.0, params=PARAMS):
    return judge(counts, params, begin=begin, rows=rows, minutes=minutes)


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
    result = judge({"scores": bands(canary, champion)}, params, begin=0, rows=2000, minutes=20)
    assert result["verdict"] == "failed"
