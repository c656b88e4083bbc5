"""Unreported frauds among the normals are found by what reported ones look like, and left out only when many."""

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from fraudline.model.params import TrimParams
from fraudline.model.trimming import _Classifier, suspicious

NORMALS, KNOWN, WIDTH = 4000, 300, 5


def normal_rows(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype(np.float32)


def fraud_rows(count: int, seed: int) -> np.ndarray:
    """Far from the normals in one direction, and not one point."""
    return normal_rows(count, seed) + np.array([4, 3, 0, 0, 0], np.float32)


def mixed(share: float) -> tuple[np.ndarray, np.ndarray]:
    """Supposed normals, and which of them are frauds."""
    hidden = round(NORMALS * share / (1 - share))
    rows = np.concatenate([normal_rows(NORMALS, 1), fraud_rows(hidden, 2)])
    return rows, np.arange(len(rows)) >= NORMALS


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_hidden_frauds_are_counted_and_left_out(share):
    rows, hidden = mixed(share)
    found = suspicious(rows, fraud_rows(KNOWN, 3), TrimParams(), seed=1)
    assert found.trims
    assert found.share == pytest.approx(share, rel=0.25)
    assert np.mean(found.kept[hidden]) < 0.2
    assert np.mean(found.kept[~hidden]) > 0.99


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_where_many_more_are_known_than_hidden_hardly_one_stays(share):
    """With 300 known some draws keep two thirds of 444 hidden ones; with 1,000 none of four draws kept 6 % of 211."""
    rows, hidden = mixed(share)
    found = suspicious(rows, fraud_rows(1_000, 3), TrimParams(), seed=1)
    assert found.share == pytest.approx(share, rel=0.25)
    assert np.mean(found.kept[hidden]) < 0.1


def test_clean_normals_lose_no_row():
    found = suspicious(normal_rows(NORMALS, 1), fraud_rows(KNOWN, 3), TrimParams(), seed=1)
    assert found.share < 0.01
    assert not found.trims
    assert found.kept.all()


def test_nothing_is_said_where_too_few_frauds_are_known():
    rows, _ = mixed(0.05)
    found = suspicious(rows, fraud_rows(20, 3), TrimParams(), seed=1)
    assert found.share is None
    assert found.kept.all()


def test_no_more_than_the_bound_is_left_out_and_the_worst_first():
    rows, hidden = mixed(0.2)
    found = suspicious(rows, fraud_rows(KNOWN, 3), TrimParams(max_share=0.05), seed=1)
    assert np.count_nonzero(~found.kept) == int(0.05 * len(rows))
    assert hidden[~found.kept].all()


def test_bins_are_to_the_classifier_what_the_values_are():
    rng = np.random.default_rng(0)
    rows, asked = normal_rows(NORMALS, 1), normal_rows(NORMALS, 2)
    for each in (rows, asked):
        each[:, 2] = np.maximum(each[:, 2], 0)
        each[:, 3] = each[:, 3].round()
        each[rng.random(NORMALS) < 0.1, 4] = np.nan
    frauds = fraud_rows(KNOWN, 3)
    model = HistGradientBoostingClassifier(
        max_iter=50, max_leaf_nodes=8, min_samples_leaf=40, learning_rate=0.15, early_stopping=False, random_state=0
    )
    weights = np.r_[np.ones(NORMALS), np.full(KNOWN, 0.1 * NORMALS / KNOWN)]
    model.fit(np.concatenate([rows, frauds]), np.arange(NORMALS + KNOWN) >= NORMALS, sample_weight=weights)
    assert np.array_equal(_Classifier(rows, frauds, 0.1).chance(asked), model.predict_proba(asked)[:, 1])


def test_the_same_seed_finds_the_same_rows():
    rows, _ = mixed(0.02)
    first, second = (suspicious(rows, fraud_rows(KNOWN, 3), TrimParams(), seed=4) for _ in range(2))
    assert np.array_equal(first.rows, second.rows)
    assert first.share == second.share
