"""Each policy is chosen on the validation days, and its alert rate is what it gave on the test."""

import numpy as np
import pytest

from fraudline.model.evaluation import EvaluationRows, Evaluator
from fraudline.model.evaluation_params import BootstrapParams, EvaluateParams
from fraudline.model.policies import ChosenOn, policy_table
from fraudline.model.thresholds import ThresholdParams

PARAMS = ThresholdParams(review_rate=0.02, block_rate=0.005, review_quantile=0.98, block_quantile=0.995)


def scores_of(seed: int, fraud: np.ndarray, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, len(fraud)) + 3 * fraud


@pytest.fixture
def validation() -> ChosenOn:
    fraud = np.arange(10_000) % 100 == 0
    return ChosenOn(scores_of(1, fraud).astype(np.float32), ~fraud, fraud, np.full(10_000, 20_000))


@pytest.fixture
def evaluator() -> Evaluator:
    n = 8_000
    fraud = np.arange(n) % 100 == 0
    cards = np.arange(n) % 400
    rows = EvaluationRows(fraud, cards, np.arange(n) // 800, np.full(n, 20_000), np.full(n, ""))
    return Evaluator(rows, EvaluateParams(bootstrap=BootstrapParams(resamples=50)), seed=1)


def test_on_like_traffic_every_policy_gives_the_rate_it_was_asked_for(validation, evaluator) -> None:
    table = policy_table(PARAMS, validation, evaluator, scores_of(2, evaluator.rows.labels))
    found = {entry["policy"]: entry for entry in table}
    assert [name for name, entry in found.items() if entry["used"]] == ["alert_budget"]
    budget = found["alert_budget"]
    assert budget["validation"] == {"review": 0.02, "block": 0.005}
    low, high = budget["test"]["interval"]
    assert low <= budget["test"]["review"] <= high
    assert budget["test"]["review"] == pytest.approx(0.02, abs=0.004)
    normal = np.mean(validation.scores[validation.normal] >= np.float32(found["quantile"]["review"]))
    assert normal == pytest.approx(found["quantile"]["asked"]["review"], abs=2e-4)
    assert found["cost"]["validation"]["review"] <= 0.02
    best = max(entry["money_saved"] for entry in table)
    assert found["cost"]["money_saved"] > 0.9 * best


def test_a_shift_of_the_traffic_shows_as_another_rate_than_the_one_asked_for(validation, evaluator) -> None:
    table = policy_table(PARAMS, validation, evaluator, scores_of(2, evaluator.rows.labels, shift=0.5))
    budget = next(entry for entry in table if entry["used"])
    assert budget["validation"]["review"] == 0.02
    assert budget["test"]["interval"][0] > budget["asked"]["review"]


def test_a_policy_that_cannot_be_chosen_says_why(validation, evaluator) -> None:
    unknown = ChosenOn(validation.scores, np.zeros(10_000, bool), validation.fraud, validation.amounts)
    table = policy_table(PARAMS, unknown, evaluator, scores_of(2, evaluator.rows.labels))
    assert "no known normal" in next(entry["reason"] for entry in table if entry["policy"] == "quantile")
