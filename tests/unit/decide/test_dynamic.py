"""A threshold follows the scores within its bounds, one step at a time, and stays where chance explains the rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudline.core.errors import UsageError
from fraudline.decide.dynamic import adjust, bounds_of
from fraudline.model.thresholds import DynamicParams, ThresholdParams, Thresholds, choose

PARAMS = ThresholdParams(dynamic=DynamicParams(enabled=True, min_scores=1_000))
SCORES = np.random.default_rng(5).lognormal(1, 0.3, 40_000).astype(np.float32)
PACKAGED = choose(PARAMS, SCORES)


def test_traffic_like_the_validation_days_changes_nothing() -> None:
    same = np.random.default_rng(6).lognormal(1, 0.3, 40_000).astype(np.float32)
    outcome = adjust(PACKAGED, PACKAGED, same, PARAMS)
    assert not outcome.changed
    assert outcome.thresholds is PACKAGED
    assert (outcome.review.why, outcome.block.why) == ("within tolerance", "within tolerance")
    share = np.mean(same >= np.float32(PACKAGED.review))
    assert (outcome.review.rate, outcome.review.rate_after) == (share, share)
    assert outcome.why().startswith(f"review alerted {share:.3%} of 40,000 scores for a budget of 0.500%: within")


def test_a_small_shift_of_the_scores_is_followed_to_the_budget() -> None:
    shifted = SCORES * np.float32(1.04)
    outcome = adjust(PACKAGED, PACKAGED, shifted, PARAMS)
    assert outcome.review.why == "to the budget"
    assert outcome.review.rate > PARAMS.review_rate * 1.25
    assert np.mean(shifted >= np.float32(outcome.thresholds.review)) == pytest.approx(PARAMS.review_rate, rel=0.01)
    assert outcome.thresholds.version != PACKAGED.version


def test_a_large_shift_is_followed_one_step_at_a_time_and_stops_at_the_bound() -> None:
    flood = SCORES * np.float32(3)
    current, seen = PACKAGED, []
    for _ in range(10):
        outcome = adjust(current, PACKAGED, flood, PARAMS)
        assert outcome.thresholds.review - current.review <= PARAMS.dynamic.max_step * PACKAGED.review * (1 + 1e-9)
        current = outcome.thresholds
        seen.append(outcome.review.why)
    assert seen[0] == "one step"
    assert seen[-1] == "at the bound"
    assert current.review == pytest.approx(PACKAGED.review * PARAMS.dynamic.highest)


@pytest.mark.parametrize(("factor", "end"), [(3, "highest"), (0.3, "lowest")])
def test_both_thresholds_stop_at_their_own_bounds(factor: float, end: str) -> None:
    current = PACKAGED
    for _ in range(20):
        current = adjust(current, PACKAGED, SCORES * np.float32(factor), PARAMS).thresholds
    share = getattr(PARAMS.dynamic, end)
    assert (current.review, current.block) == pytest.approx((PACKAGED.review * share, PACKAGED.block * share))


def test_too_few_alerts_lower_the_thresholds_by_a_step() -> None:
    outcome = adjust(PACKAGED, PACKAGED, SCORES * np.float32(0.7), PARAMS)
    assert (outcome.review.why, outcome.block.why) == ("one step", "one step")
    assert outcome.review.new == pytest.approx(PACKAGED.review * (1 - PARAMS.dynamic.max_step))


@pytest.mark.parametrize(("alerts", "changed"), [(8, False), (10, True)])
def test_what_chance_gives_at_so_few_alerts_changes_nothing(alerts: int, changed: bool) -> None:
    scores = np.full(1_000, PACKAGED.review / 2, np.float32)  # 5 alerts are expected, give or take twice their root
    scores[:alerts] = PACKAGED.review
    scores[0] = PACKAGED.block
    assert adjust(PACKAGED, PACKAGED, scores, PARAMS).changed is changed


def test_few_scores_change_nothing() -> None:
    outcome = adjust(PACKAGED, PACKAGED, SCORES[:999] * np.float32(3), PARAMS)
    assert not outcome.changed
    assert outcome.review.why == "few scores"


@given(st.floats(0.05, 20), st.floats(0.5, 2), st.integers(1_000, 5_000))
def test_whatever_the_scores_the_thresholds_stay_within_bounds_and_block_stays_above_review(
    factor: float, start: float, n: int
) -> None:
    current = Thresholds.of(PACKAGED.review * start, PACKAGED.block * start, {"name": "given"})
    outcome = adjust(current, PACKAGED, SCORES[:n] * np.float32(factor), PARAMS)
    bounds = bounds_of(PACKAGED, PARAMS.dynamic)
    if outcome.review.new != outcome.review.old:
        assert bounds.review[0] <= outcome.thresholds.review <= bounds.review[1]
    assert outcome.thresholds.review <= outcome.thresholds.block


def test_bounds_of_a_threshold_that_is_not_positive_are_refused() -> None:
    with pytest.raises(UsageError, match="above 0"):
        bounds_of(Thresholds.of(-1.0, 2.0, {}), PARAMS.dynamic)
