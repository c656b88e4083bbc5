"""The poisoning gate of a batch."""

import numpy as np
import pytest

from fraudline.core.errors import GateFailed
from fraudline.steps.params import Params
from fraudline.steps.screen import screened

PARAMS = Params.parse({"renew": {"poison_max": 0.02}}, "test")


def rows(poisoned: int, *, days=20, a_day=300, frauds=150, moved=0.0):
    """Normals around 0 and frauds around 3 in four features; ``poisoned`` frauds of two cards on three new days.

    From day 15 on the normals lie at ``moved``.
    """
    rng = np.random.default_rng(1)
    n = days * a_day
    day = np.r_[np.arange(n) % days, rng.integers(0, days, frauds), days - 3 + np.arange(poisoned) % 3]
    normal = rng.normal(0, 1, (n, 4)) + moved * (day[:n, None] >= 15)
    matrix = np.concatenate([normal, rng.normal(3, 1, (frauds + poisoned, 4))]).astype(np.float32)
    fraud = np.r_[np.zeros(n, bool), np.ones(frauds, bool), np.zeros(poisoned, bool)]
    cards = np.array([f"c{i}" for i in rng.integers(0, 200, n + frauds)] + [f"bad{i % 2}" for i in range(poisoned)])
    return matrix, fraud, cards.astype(object), day


def look(poisoned, **more):
    matrix, fraud, cards, day = rows(poisoned, **more)
    return screened(matrix, fraud, cards, day, day >= 15, PARAMS)


def test_an_honest_batch_passes():
    assert look(0)["share"] < 0.01


def test_a_poisoned_batch_is_refused_with_its_cards_and_days_named():
    with pytest.raises(GateFailed, match=r"cards bad[01] \(\d+\), bad[01] \(\d+\); days") as refused:
        look(90)
    assert all(day in refused.value.problem for day in ("1970-01-18", "1970-01-19", "1970-01-20"))


def test_a_little_more_than_the_limit_on_one_day_of_the_batch_is_refused():
    matrix, fraud, cards, day = rows(9)
    day[-9:], cards[-9:] = 17, "bad"  # 9 of some 310 rows: 2.9 %
    with pytest.raises(GateFailed, match="1970-01-18"):
        screened(matrix, fraud, cards, day, day >= 15, PARAMS)


def test_as_many_rows_of_a_card_as_chance_gives_one_of_so_many_cards_are_not_called_out():
    matrix, fraud, cards, day = rows(9)  # five of the one card, which chance does not give, and four of the other
    day[-9:] = 17
    assert 0.01 < screened(matrix, fraud, cards, day, day >= 15, PARAMS)["share"] < 0.02


def test_frauds_of_few_cards_that_were_reported_are_no_poison():
    matrix, fraud, cards, day = rows(90)
    fraud[-90:] = True
    assert screened(matrix, fraud, cards, day, day >= 15, PARAMS)["share"] < 0.02


def test_a_day_of_few_rows_counts_as_one_of_more_because_the_share_of_a_handful_says_nothing():
    matrix, fraud, cards, day = rows(5)
    kept = (day < 17) | ((day == 17) & (np.cumsum(day == 17) <= 7))
    kept[-5:], day[-5:], cards[-5:] = True, 17, "bad"
    tolerant = Params.parse({"renew": {"poison_max": 0.05}}, "test")
    assert screened(matrix[kept], fraud[kept], cards[kept], day[kept], day[kept] >= 15, tolerant)["share"] == 5 / 200


def test_frauds_of_the_batch_itself_are_nothing_to_learn_from():
    matrix, fraud, cards, day = rows(0)
    day[fraud] = np.where(np.arange(fraud.sum()) < 10, 14, 15)
    assert screened(matrix, fraud, cards, day, day >= 15, PARAMS)["share"] is None


def test_a_card_of_much_traffic_is_not_called_out_for_its_number_of_rows():
    matrix, fraud, cards, day = rows(0, moved=2.0)
    cards[::2] = "a wholesaler"
    assert screened(matrix, fraud, cards, day, day >= 15, PARAMS)["share"] < 0.02


def test_a_change_of_everybodys_traffic_is_drift_and_no_poison():
    found = look(0, moved=2.0)
    assert found["suspicious"] > 0.05
    assert found["share"] < 0.02


def test_without_frauds_to_learn_from_nothing_is_said():
    assert look(0, frauds=10)["share"] is None


def test_without_normals_to_learn_from_nothing_is_said():
    """After a pause as long as the window, a few frauds whose labels came late may be all that is left of before."""
    matrix, fraud, cards, day = rows(0)
    assert screened(matrix, fraud, cards, day, (day >= 15) | ~fraud, PARAMS)["share"] is None


def test_late_rows_and_reversed_frauds_of_days_that_are_there_are_looked_at_too():
    """60 frauds of two cards on three early days: 20 of some 320 rows a day are 6 %."""
    matrix, fraud, cards, day = rows(60)
    day[-60:] = 4 + np.arange(60) % 3
    late = np.arange(len(day)) >= len(day) - 60
    assert screened(matrix, fraud, cards, day, day >= 15, PARAMS)["share"] < 0.02
    with pytest.raises(GateFailed, match=r"cards bad[01] \(\d+\), bad[01] \(\d+\); days 1970-01-0[567]"):
        screened(matrix, fraud, cards, day, late | (day >= 15), PARAMS)


def test_a_few_late_rows_are_held_against_all_rows_of_their_day():
    matrix, fraud, cards, day = rows(5)
    day[-5:], cards[-5:] = 4, "bad"
    late = np.arange(len(day)) >= len(day) - 5
    assert screened(matrix, fraud, cards, day, late | (day >= 15), PARAMS)["share"] == pytest.approx(5 / 305)
