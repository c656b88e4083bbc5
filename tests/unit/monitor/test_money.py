"""An A/B that may be looked at any time."""

import numpy as np

from fraudline.monitor.money import LEAST_UNITS, WEEK_US, difference, second_arm


def test_equal_thresholds_are_called_different_in_few_of_many_experiments_although_each_unit_is_looked_at():
    """Heavy-tailed money, 200 experiments of 3,000 units, a look after every one of them; alpha is 5 %."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        money = np.where(rng.random(3_000) < 0.1, rng.lognormal(8, 1, 3_000), -500.0 * (rng.random(3_000) < 0.3))
        wrong += difference(money, rng.random(3_000) < 0.3, 0.3, alpha=0.05).decided.any()
    assert wrong <= 16


def test_a_better_arm_is_found_with_the_right_sign():
    rng = np.random.default_rng(2)
    second = rng.random(6_000) < 0.5
    money = rng.normal(100, 300, 6_000) + 60 * second
    running = difference(money, second, 0.5, alpha=0.05)
    assert running.low[-1] > 0
    assert running.low[-1] < 60 < running.high[-1]
    assert not running.decided[: LEAST_UNITS - 1].any()


def test_before_the_least_number_of_units_nothing_is_decided_however_clear_it_looks():
    running = difference(np.full(2 * LEAST_UNITS, 1_000.0), np.ones(2 * LEAST_UNITS, bool), 0.5, alpha=0.05)
    assert running.decided.tolist() == [False] * (LEAST_UNITS - 1) + [True] * (LEAST_UNITS + 1)


def test_a_card_has_one_arm_for_a_week_and_is_drawn_anew_in_the_next():
    cards = [f"c{i}" for i in range(2_000)]
    first = [second_arm(card, 5, 0.3) for card in cards]
    assert first == [second_arm(card, WEEK_US - 1, 0.3) for card in cards]
    following = [second_arm(card, WEEK_US, 0.3) for card in cards]
    assert 0.25 < np.mean(first) < 0.35
    assert 0.05 < np.mean(np.array(first) & np.array(following)) < 0.13
