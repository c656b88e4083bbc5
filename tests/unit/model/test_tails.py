import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.model.tails import Tails


def learn(values: np.ndarray) -> Tails:
    return Tails.learn(values.reshape(-1, 1).astype(np.float32), [0])


def rarity(tails: Tails, *values: float) -> list[float]:
    return tails.rarity(np.array(values, np.float32).reshape(-1, 1))[:, 0].tolist()


def test_rarity_is_the_decades_of_the_empirical_tail() -> None:
    values = np.random.default_rng(0).exponential(10.0, 100_000)
    found = rarity(learn(values), *np.quantile(values, [0.9, 0.99, 0.999]))
    assert found == pytest.approx([1, 2, 3], abs=0.05)


def test_the_half_below_the_median_is_not_rare() -> None:
    values = np.random.default_rng(0).normal(50, 10, 10_000)
    assert rarity(learn(values), -1e9, 0.0, 30.0, 49.0) == [0, 0, 0, 0]


def test_beyond_every_normal_it_grows_with_the_tail_up_to_nine_decades() -> None:
    values = np.random.default_rng(0).exponential(10.0, 10_000)
    largest, further, far, absurd = rarity(learn(values), values.max(), values.max() + 10, values.max() + 40, 1e9)
    assert largest == pytest.approx(4, abs=0.1)
    assert largest + 0.3 < further < far < absurd
    assert absurd <= 9


def test_a_heavy_tail_makes_the_same_distance_less_rare() -> None:
    rng = np.random.default_rng(1)
    light, heavy = rng.exponential(1.0, 50_000), rng.pareto(3.0, 50_000)
    gained = []
    for values in (light, heavy):
        at, beyond = rarity(learn(values), values.max(), 2 * values.max())
        gained.append(beyond - at)
    assert gained[0] > 2 * gained[1]


@pytest.mark.parametrize("seed", range(6))
def test_ten_times_and_a_hundred_times_the_most_that_normals_do_differ_whatever_the_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts, shares = 1 + rng.binomial(6, 0.05, 20_000), rng.random(20_000)
    for values, step in ((counts, 1.0), (shares, 0.002)):
        largest = values.max()
        found = rarity(learn(values), *(largest + step * np.array([0, 1, 2, 4])), 1000 * largest)
        assert np.all(np.diff(found) > 0.1), found
        assert found[-1] == pytest.approx(9)


def test_a_value_that_most_normals_share_is_not_rare_and_the_next_one_is() -> None:
    values = np.r_[np.zeros(9_950), np.ones(50)]
    assert rarity(learn(values), 0.0, 1.0) == pytest.approx([0, -np.log10(0.005)], abs=0.01)


def test_a_feature_that_never_varies_is_never_rare() -> None:
    assert rarity(learn(np.full(1000, 7.0)), 7.0, 1e9) == [0, 0]


def test_no_tail_feature_gives_no_column() -> None:
    tails = Tails.learn(np.ones((10, 3), np.float32), [])
    assert tails.rarity(np.ones((4, 3), np.float32)).shape == (4, 0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=300), st.integers(0, 2**31))
@settings(max_examples=100)
def test_rarity_never_falls_and_stays_between_zero_and_nine(values: list[float], seed: int) -> None:
    tails = learn(np.array(values))
    points = np.sort(np.r_[values, np.random.default_rng(seed).uniform(-3e6, 3e6, 50)])
    found = np.array(rarity(tails, *points))
    assert np.all(np.diff(found) >= -1e-4)
    assert found.min() >= 0
    assert found.max() <= 9 + 1e-4
