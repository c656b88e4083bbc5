"""In the exported graph the score is the sum of the shares, as near as a 32-bit number can say it."""

from pathlib import Path

import numpy as np
import pytest

from fraudline.model.params import TrainParams
from fraudline.model.scorer import GraphScorer
from tests.support.inputs import PlainInput, PlainInputs

NAMES = tuple(f"x{i}" for i in range(12))


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> GraphScorer:
    from fraudline.model.fitting import fit

    folder: Path = tmp_path_factory.mktemp("exact")
    inputs = PlainInputs(
        tuple(PlainInput(name, tail="upper" if i % 3 == 0 else "none") for i, name in enumerate(NAMES))
    )
    rows = np.random.default_rng(1).lognormal(1, 0.6, (3_000, len(NAMES))).astype(np.float32)
    params = TrainParams(hidden=(8,), bottlenecks=(2, 3), epochs=2)
    fit(rows[:2_000], rows[2_000:], inputs, params, seed=5).export(folder)
    return GraphScorer((folder / "model.onnx").read_bytes(), NAMES)


def odd_rows() -> np.ndarray:
    """From usual to far outside of everything seen."""
    rng = np.random.default_rng(2)
    usual = rng.lognormal(1, 0.6, (4_000, len(NAMES)))
    return (usual * 10.0 ** rng.uniform(-2, 4, (4_000, 1))).astype(np.float32)


def test_the_score_is_the_sum_of_the_shares_rounded_once(scorer: GraphScorer) -> None:
    found = scorer.score(odd_rows())
    assert found.score.max() > 5 * found.score.min()
    summed = found.contributions.sum(axis=1, dtype=np.float64)
    assert np.array_equal(summed.astype(np.float32), found.score)
    usual = found.score < 16
    assert usual.any()
    assert np.abs(summed - found.score)[usual].max() <= 1e-6


def test_the_order_of_the_shares_does_not_matter(scorer: GraphScorer) -> None:
    found = scorer.score(odd_rows())
    order = np.random.default_rng(3).permutation(len(NAMES))
    summed = found.contributions[:, order].sum(axis=1, dtype=np.float64)
    assert np.array_equal(summed.astype(np.float32), found.score)
