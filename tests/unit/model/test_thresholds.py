"""Thresholds keep the budget they were given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from fraudline.core.errors import DataError, UsageError
from fraudline.model.thresholds import ThresholdParams, Thresholds, budget, choose

SCORES = np.random.default_rng(3).lognormal(size=10_000).astype(np.float32)


@given(arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 10, width=16)), st.floats(0.001, 0.9))
def test_a_budget_is_never_exceeded_and_nothing_more_fits(scores: np.ndarray, rate: float) -> None:
    threshold = np.float32(budget(scores, rate))
    assert np.count_nonzero(scores >= threshold) <= rate * scores.size + 1e-6
    lower = scores[scores < threshold]
    if lower.size:
        assert np.count_nonzero(scores >= lower.max()) > rate * scores.size - 1e-6


def test_the_default_policy_reviews_and_blocks_the_given_shares() -> None:
    chosen = choose(ThresholdParams(), SCORES)
    assert np.count_nonzero(np.float32(chosen.review) <= SCORES) == 50
    assert np.count_nonzero(np.float32(chosen.block) <= SCORES) == 10
    assert chosen.policy == {"name": "alert_budget", "review_rate": 0.005, "block_rate": 0.001}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("policy", ["alert_budget", "quantile", "cost"])
def test_no_threshold_is_chosen_on_what_is_no_number(policy: str, wrong: float) -> None:
    scores, fraud = np.where(np.arange(100) == 7, np.float32(wrong), SCORES[:100]), np.arange(100) < 5
    with pytest.raises(DataError, match="1 of 100 scores that are no finite number"):
        choose(
            ThresholdParams(policy=policy),
            scores,
            known_normal=~fraud,
            known_fraud=fraud,
            amounts_minor=np.full(100, 100),
        )


def test_the_quantile_policy_looks_at_known_normals_only() -> None:
    normal = np.arange(SCORES.size) % 2 == 0
    params = ThresholdParams(policy="quantile", review_quantile=0.9, block_quantile=0.99)
    chosen = choose(params, np.where(normal, SCORES, 1e6).astype(np.float32), known_normal=normal)
    assert np.mean(SCORES[normal] >= np.float32(chosen.review)) == pytest.approx(0.1, abs=1e-3)
    assert np.mean(SCORES[normal] >= np.float32(chosen.block)) == pytest.approx(0.01, abs=1e-3)


def test_the_cost_policy_stops_where_a_review_costs_more_than_it_saves() -> None:
    scores = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], np.float32)
    fraud = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 1], bool)
    params = ThresholdParams(policy="cost", review_rate=0.9, block_rate=0.1, review_cost_minor=500)
    chosen = choose(params, scores, known_fraud=fraud, amounts_minor=np.full(10, 10_000))
    assert (chosen.review, chosen.block) == (8.0, 9.0)


def test_the_cost_policy_counts_a_tie_whole_because_no_threshold_divides_it() -> None:
    scores = np.array([9, 8, 8, 8, 1, 0], np.float32)
    fraud = np.array([1, 1, 0, 0, 0, 0], bool)
    params = ThresholdParams(
        policy="cost", review_rate=0.9, block_rate=0.1, review_cost_minor=2_000, recovered_share=0.5
    )
    assert choose(params, scores, known_fraud=fraud, amounts_minor=np.full(6, 10_000)).review == 9.0


def test_the_cost_policy_without_any_gain_keeps_the_review_budget() -> None:
    params = ThresholdParams(policy="cost", review_rate=0.2, block_rate=0.1)
    none = np.zeros(10, bool)
    chosen = choose(params, np.arange(10, dtype=np.float32), known_fraud=none, amounts_minor=np.ones(10, np.int64))
    assert chosen.review == 8.0


def test_a_policy_without_its_inputs_or_scores_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="known normals"):
        choose(ThresholdParams(policy="quantile"), SCORES)
    with pytest.raises(UsageError, match="known frauds"):
        choose(ThresholdParams(policy="cost"), SCORES)
    with pytest.raises(UsageError, match="no known normal"):
        choose(ThresholdParams(policy="quantile"), SCORES, known_normal=np.zeros(SCORES.size, bool))
    with pytest.raises(UsageError, match="no validation scores"):
        choose(ThresholdParams(), SCORES[:0])


def test_the_version_follows_values_and_policy() -> None:
    one = Thresholds.of(1.0, 2.0, {"name": "a"})
    assert one.version == Thresholds.of(1.0, 2.0, {"name": "a"}).version
    assert (
        len(
            {
                one.version,
                Thresholds.of(1.1, 2.0, {"name": "a"}).version,
                Thresholds.of(1.0, 2.0, {"name": "b"}).version,
            }
        )
        == 3
    )


def test_blocking_below_review_is_refused() -> None:
    with pytest.raises(ValidationError):
        Thresholds.of(2.0, 1.0, {})
    with pytest.raises(ValidationError):
        Thresholds.of(float("nan"), 1.0, {})
    with pytest.raises(ValidationError):
        ThresholdParams(review_rate=0.001, block_rate=0.01)


def test_a_budget_that_is_a_whole_number_of_rows_is_used_up_whatever_the_rounding_of_its_share() -> None:
    scores = np.arange(100, dtype=np.float32)
    assert 0.29 * 100 < 29, "in floating point"
    assert budget(scores, 0.29) == 71
