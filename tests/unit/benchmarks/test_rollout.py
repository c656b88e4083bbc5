"""The simulation in small: equal canaries stay, bad ones go, and it judges as the product does."""

import numpy as np
import pytest

from benchmarks.rollout import page, run, simulate, simulate_precision
from benchmarks.rollout_rules import MODELS, Judge, traffic
from fraudline.monitor.canary import DEFAULT_CHECKS, Arms, evidence


@pytest.fixture(scope="module")
def result():
    return run(40, 3)


def test_equal_canaries_are_promoted_and_bad_ones_reverted(result):
    cells = result["cells"]
    assert cells["equal/judge"]["reverted"] == 0
    assert cells["equal/judge"]["promoted"] > 0.9
    for name in set(MODELS) - {"equal"}:
        assert cells[f"{name}/judge"]["promoted"] == 0, name
    for name in ("errors", "slow", "constant"):
        assert cells[f"{name}/judge"]["reverted"] == 1, name
    assert cells["alerts/judge"]["reverted"] > 0.6


def test_a_rule_on_shares_reverts_good_models(result):
    assert result["cells"]["equal/threshold"]["reverted"] > 0.5


def test_precision_that_is_a_fifth_worse_is_caught_where_it_is_waited_for(result):
    assert result["cells"]["precision 20 % worse"]["reverted"] > 0.9
    assert result["cells"]["equal precision"]["reverted"] == 0


def test_the_page_has_a_line_for_each_model_and_rule(result):
    text = page(result)
    assert text.count("| **fraudline's judge** |") == len(MODELS)
    assert "precision 20 % worse" in text


def test_it_gathers_the_evidence_that_the_product_gathers():
    rng = np.random.default_rng(0)
    weights = np.full(5, 10)
    drawn = [traffic(MODELS["equal"], weights, stratum, rng) for stratum in range(4)]
    check = {"alerts": DEFAULT_CHECKS["alerts"].model_copy(update={"margin": 1.2})}
    judge = Judge(5, check)
    for one in drawn:
        judge.look(one)
    arms = [one["alerts"] for one in drawn]
    whole = Arms(*(np.concatenate([getattr(a, name) for a in arms], axis=-1) for name in ("x", "n", "y", "m")))
    found = evidence(whole, check["alerts"])
    assert judge.last["alerts"].worse[:, 0] == pytest.approx(found.worse[:, -1])
    assert judge.last["alerts"].fine[:, 0] == pytest.approx(found.fine[:, -1])


def test_the_same_seed_gives_the_same_figures():
    assert simulate(MODELS["errors"], "judge", 10, 1) == simulate(MODELS["errors"], "judge", 10, 1)
    assert simulate_precision(1.5, 10, 1) == simulate_precision(1.5, 10, 1)
