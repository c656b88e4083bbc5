"""The poisoning gate of a batch."""

import numpy as np
import pytest

from fraudline.core.errors import GateFailed
from fraudline.steps.params import Params
from fraudline.steps.screen import screened

PARAMS = Params.parse({"train": {"trim": {"rounds": 1}}, "renew": {"poison_max": 0.02}}, "test")


def rows(poisoned: int, *, days=20, a_day=300, frauds=150):
    """Normals around 0 and frauds around 3 in four features; ``poisoned`` frauds without a label on three new days."""
    rng = np.random.default_rng(1)
    n = days * a_day
    matrix = np.concatenate([rng.normal(0, 1, (n, 4)), rng.normal(3, 1, (frauds + poisoned, 4))]).astype(np.float32)
    fraud = np.r_[np.zeros(n, bool), np.ones(frauds, bool), np.zeros(poisoned, bool)]
    day = np.r_[np.arange(n) % days, rng.integers(0, days, frauds), days - 3 + np.arange(poisoned) % 3]
    cards = np.array([f"c{i % 977}" for i in range(n + frauds)] + [f"bad{i % 2}" for i in range(poisoned)], object)
    return matrix, fraud, cards, day


def look(poisoned):
    matrix, fraud, cards, day = rows(poisoned)
    return screened(matrix, fraud, cards, day, 15, PARAMS)


def test_an_honest_batch_passes_with_its_shares():
    found = look(0)
    assert found["share"] - found["before"] < 0.02


def test_a_poisoned_batch_is_refused_with_its_cards_and_days_named():
    with pytest.raises(GateFailed, match=r"bad[01] \(\d+\), bad[01] \(\d+\)") as refused:
        look(90)
    assert all(day in refused.value.problem for day in ("1970-01-18", "1970-01-19", "1970-01-20"))


def test_what_was_there_before_is_not_held_against_the_batch():
    matrix, fraud, cards, day = rows(90)
    screened(matrix, fraud, cards, day[::1], 25, PARAMS)
