"""E-processes: never surprised by an innocent canary, however often one looks, and soon by a guilty one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fraudline.monitor.sequential import ABOVE, BELOW, least_of, mean_of, odds_steps, renewed, renewed_by, share_steps


def law(n, m, k, odds):
    """Fisher's noncentral hypergeometric law, term by term."""
    from math import comb

    terms = np.array([comb(n, u) * comb(m, k - u) * odds**u for u in range(k + 1)], float)
    return terms / terms.sum()


def one(value):
    return np.array([value])


def odds_process(*of):
    """The evidence after each stratum, as the judge gathers it."""
    return mean_of(*np.cumsum(odds_steps(*of), axis=-1))


def share_process(*of):
    return mean_of(*np.cumsum(share_steps(*of), axis=-1))


@settings(max_examples=60)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 12),
    k=st.integers(0, 12),
    margin=st.sampled_from([0.5, 1.0, 1.5, 3.0]),
    share=st.floats(0.1, 1.0),
    side=st.sampled_from(["above", "below"]),
)
def test_its_mean_is_at_most_one_for_every_odds_ratio_of_its_null(n, m, k, margin, share, side):
    """Summed over all outcomes: exact, not simulated."""
    k = min(k, n + m)
    odds = margin * share if side == "above" else margin / share
    values = [np.exp(odds_process(one(u), one(n), one(k - u), one(m), margin, side)[0]) for u in range(k + 1)]
    assert law(n, m, k, odds) @ np.array(values) <= 1 + 1e-9


def test_at_the_margin_the_mean_is_one():
    values = [np.exp(odds_process(one(u), one(9), one(7 - u), one(20), 1.5, "above")[0]) for u in range(8)]
    assert law(9, 20, 7, 1.5) @ np.array(values) == pytest.approx(1)


@given(n=st.integers(1, 30), bound=st.floats(0.01, 0.99), share=st.floats(0.05, 1), above=st.booleans())
@settings(max_examples=60)
def test_the_process_of_one_share_has_a_mean_of_at_most_one_under_its_null(n, bound, share, above):
    from math import comb

    p = bound * share if above else 1 - (1 - bound) * share
    x = np.arange(n + 1)
    weights = np.array([comb(n, int(u)) for u in x]) * p**x * (1 - p) ** (n - x)
    side = "above" if above else "below"
    values = [np.exp(share_process(one(u), one(n), bound, side)[0]) for u in x]
    assert weights @ np.array(values) <= 1 + 1e-9


def test_an_equal_canary_passes_the_bound_less_often_than_promised_at_any_of_many_looks():
    rng = np.random.default_rng(3)
    rate = 0.02 * (1 + np.sin(np.arange(60) / 5))[None]  # day and night
    n, m = np.full((400, 60), 40), np.full((400, 60), 160)
    found = odds_process(rng.binomial(n, rate), n, rng.binomial(m, rate), m, 1.0, "above")
    assert (found.max(1) >= np.log(20)).mean() <= 0.05


def test_a_doubled_rate_is_seen_and_an_equal_one_is_shown_to_be_within_the_margin():
    rng = np.random.default_rng(4)
    n, m = np.full((50, 60), 100), np.full((50, 60), 900)
    worse = odds_process(rng.binomial(n, 0.04), n, rng.binomial(m, 0.02), m, 1.2, "above")
    fine = odds_process(rng.binomial(n, 0.02), n, rng.binomial(m, 0.02), m, 1.5, "below")
    assert (worse.max(1) >= np.log(100)).all()
    assert (fine.max(1) >= np.log(20)).mean() > 0.8


def test_a_minute_in_which_one_arm_had_no_traffic_says_nothing():
    zero, some = np.zeros(3, np.int64), np.array([0, 5, 9])
    assert odds_process(zero, zero, some, some + 10, 1.5, "above") == pytest.approx(0)
    assert odds_process(zero, some, zero, some, 1.5, "below") == pytest.approx(0)


def test_large_and_small_strata_in_one_call_give_what_each_gives_alone():
    x, n, y, m = (np.array(v) for v in ([3, 700, 0], [50, 4000, 7], [30, 5000, 1], [500, 36000, 60]))
    together = odds_process(x, n, y, m, 1.5, "above")
    steps = [odds_process(x[i : i + 1], n[i : i + 1], y[i : i + 1], m[i : i + 1], 1.5, "above")[0] for i in range(3)]
    assert np.isfinite(together).all()
    assert together[0] == pytest.approx(steps[0])


def test_mixtures_are_means_and_the_rest_is_least():
    a, b = np.log(np.array([4.0, 1.0])), np.log(np.array([2.0, 9.0]))
    assert np.exp(mean_of(a, b)) == pytest.approx([3, 5])
    assert np.exp(least_of(a, b)) == pytest.approx([2, 1])
    assert all(low < high for low, high in pairwise(ABOVE))
    assert all(ratio < 1 for ratio in BELOW)


@given(arrays(np.float64, st.tuples(st.just(2), st.integers(1, 30)), elements=st.floats(-20, 20)))
def test_evidence_that_begins_anew_is_the_weighted_mean_of_products_that_begin_at_any_stratum(steps):
    strata = steps.shape[-1]
    weights = np.array([0.5, *(1 / (2 * k * (k + 1)) for k in range(1, strata))])
    begun = [np.where(np.arange(strata) >= k, steps, 0.0).cumsum(axis=-1) for k in range(strata)]
    mean = sum(weight * np.exp(each) for weight, each in zip(weights, begun, strict=True)) + 1 - weights.sum()
    np.testing.assert_allclose(renewed(steps), np.log(mean), rtol=1e-6, atol=1e-9)
    going = np.full(2, -np.inf)
    for stratum in range(strata):
        going, found = renewed_by(going, steps[:, stratum], stratum)
        np.testing.assert_allclose(found, renewed(steps)[:, stratum], rtol=1e-9, atol=1e-9)
