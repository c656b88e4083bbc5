import numpy as np
import pytest

from fraudline.core.errors import UsageError
from fraudline.model.baselines import BASELINES, baseline_scores
from fraudline.model.metrics import roc_auc


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(6, 6))
    normals = (rng.normal(size=(3000, 6)) @ mix).astype(np.float32)
    rows = (rng.normal(size=(1000, 6)) @ mix).astype(np.float32)
    labels = np.arange(1000) < 50
    rows[labels] += 5 * np.abs(mix).sum(axis=0).astype(np.float32)
    return normals, rows, labels


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_a_baseline_ranks_far_rows_above_normal_ones(name: str) -> None:
    normals, rows, labels = data()
    scores = baseline_scores(name, normals, rows, seed=1)
    assert roc_auc(labels, scores) > 0.8


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_a_feature_that_never_varies_changes_nothing(name: str) -> None:
    normals, rows, _ = data()
    plain = baseline_scores(name, normals, rows, seed=1)
    constant = [np.hstack([m, np.full((len(m), 1), 1e6, np.float32)]) for m in (normals, rows)]
    assert np.allclose(plain, baseline_scores(name, *constant, seed=1))


@pytest.mark.parametrize("name", sorted(set(BASELINES) - {"ecod", "copod"}))  # PyOD's rank rows among each other
def test_a_rows_score_does_not_depend_on_the_rows_beside_it(name: str) -> None:
    normals, rows, _ = data()
    alone = baseline_scores(name, normals, rows[:10], seed=1)
    assert np.allclose(alone, baseline_scores(name, normals, rows, seed=1)[:10])


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_the_same_seed_gives_the_same_scores_also_when_rows_are_drawn(name: str) -> None:
    normals, rows, _ = data()
    twice = [baseline_scores(name, normals, rows, seed=2, limit=500) for _ in range(2)]
    assert np.array_equal(*twice)


def test_an_unknown_baseline_and_constant_data_are_refused_by_name() -> None:
    normals, rows, _ = data()
    with pytest.raises(UsageError, match="no baseline 'oracle'"):
        baseline_scores("oracle", normals, rows, seed=1)
    with pytest.raises(UsageError, match="No feature varies"):
        baseline_scores("pca", np.ones((10, 2), np.float32), np.ones((10, 2), np.float32), seed=1)
