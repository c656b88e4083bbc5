"""Two thresholds on the same rows: counts are exact, the interval is that of the difference."""

import numpy as np
import pytest

from fraudline.core.clock import DAY_US
from fraudline.core.errors import DataError, UsageError
from fraudline.decide.candidates import chosen_on
from fraudline.decide.compare import compare
from fraudline.decide.compare_page import compare_page
from fraudline.decide.decisions import NEVER_US, Decisions
from fraudline.model.evaluation_params import BootstrapParams, CostParams
from fraudline.model.thresholds import ThresholdParams, Thresholds

COST = CostParams(review_cost_minor=500, recovered_share=0.5)
BOOTSTRAP = BootstrapParams(resamples=200)


def at(review: float, block: float = 1e9) -> Thresholds:
    return Thresholds.of(review, block, {"name": "given"})


def decisions(score, fraud, *, amount=10_000, unknown=()) -> Decisions:  # type: ignore[no-untyped-def]
    n = len(score)
    known_us = np.arange(n, dtype=np.int64)
    known_us[list(unknown)] = NEVER_US
    return Decisions(
        score=np.array(score, np.float32),
        cards=np.arange(n, dtype=np.int64) // 2,
        times_us=np.arange(n, dtype=np.int64) * DAY_US // 2,
        amounts=np.full(n, amount, np.int64),
        fraud=np.array(fraud, bool),
        known_us=known_us,
        rows=np.arange(n),
    )


def random_traffic(n: int = 4_000) -> Decisions:
    rng = np.random.default_rng(1)
    fraud = rng.random(n) < 0.03
    return decisions(rng.normal(3, 1, n) + 2 * fraud, fraud)


def test_each_figure_is_counted_on_the_same_rows() -> None:
    rows = decisions([9, 8, 7, 6, 5, 4, 3, 2], [1, 0, 1, 0, 0, 0, 0, 0])
    found = compare(rows, at(8.5), at(6.5, 7.5), COST, BOOTSTRAP, seed=1)
    assert (found["a"]["alerts"], found["b"]["alerts"]) == (1, 3)
    assert (found["a"]["recall"], found["b"]["recall"]) == (0.5, 1.0)
    assert found["b"]["precision"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["a"]["money_saved"] == 0.5 * 10_000 - 500
    assert found["difference"]["money_saved"]["value"] == 0.5 * 10_000 - 2 * 500
    assert (found["b"]["blocks"], found["b"]["blocked_normals"]) == (2, 1)
    assert found["changed"]["only_b"] == {"alerts": 2, "frauds": 1, "fraud_amount": 10_000, "unknown": 0}
    assert found["changed"]["only_a"]["alerts"] == 0
    assert [day["b"] for day in found["daily"]] == [2, 1, 0, 0]
    assert (found["b"]["alert_rate"], found["b"]["alerts_a_day"]) == (3 / 8, 3 / 4)
    assert found["period"] == {"first": "1970-01-01T00:00:00+00:00", "last": "1970-01-04T12:00:00+00:00"}


def test_a_row_whose_label_is_unknown_is_alerted_but_not_judged() -> None:
    rows = decisions([9, 8, 7, 6], [1, 0, 0, 0], unknown=[1])
    found = compare(rows, at(8.5), at(7.5), COST, BOOTSTRAP, seed=1)
    assert (found["b"]["alerts"], found["b"]["precision"]) == (2, 1.0)
    assert found["difference"]["money_saved"]["value"] == 0
    assert found["changed"]["only_b"]["unknown"] == 1


def test_the_same_thresholds_differ_by_exactly_nothing() -> None:
    found = compare(random_traffic(), at(5.0), at(5.0), COST, BOOTSTRAP, seed=1)
    assert found["difference"]["money_saved"] == {"value": 0.0, "interval": [0.0, 0.0], "b_better": 0.5}


def test_the_interval_of_the_difference_is_paired() -> None:
    """Two close thresholds share nearly all their frauds, so the difference is known far better than either figure."""
    found = compare(random_traffic(), at(5.0), at(5.05), COST, BOOTSTRAP, seed=1)
    width = np.diff(found["difference"]["money_saved"]["interval"])[0]
    assert 0 < width < np.diff(found["a"]["intervals"]["money_saved"])[0] / 2


def test_a_threshold_that_reviews_too_much_is_found_worse_with_certainty() -> None:
    found = compare(random_traffic(), at(5.0), at(1.0), COST, BOOTSTRAP, seed=1)
    gap = found["difference"]["money_saved"]
    assert gap["interval"][1] < 0
    assert gap["b_better"] == 0.0
    assert found["difference"]["alerts"]["b_better"] == 0.0  # more of them are worse
    assert found["curve"]["money_saved"][0] < max(found["curve"]["money_saved"])


def test_the_curve_of_the_money_meets_each_side_at_its_threshold() -> None:
    found = compare(random_traffic(), at(1.0), at(50.0), COST, BOOTSTRAP, seed=1)
    thresholds, saved = (found["curve"][name] for name in ("threshold", "money_saved"))
    assert (thresholds[0], thresholds[-1]) == (1.0, 50.0)
    assert (saved[0], saved[-1]) == (found["a"]["money_saved"], found["b"]["money_saved"])


def test_the_page_opens_offline_and_shows_both_sides() -> None:
    found = compare(random_traffic(), at(5.0), at(4.5), COST, BOOTSTRAP, seed=1)
    page = compare_page({**found, "names": {"a": "today", "b": "<proposal>"}, "currency": "EUR"})
    assert "today" in page
    assert "&lt;proposal&gt;" in page
    assert "<proposal>" not in page
    assert "<svg" in page
    assert "saved, net, EUR: &lt;proposal&gt; more" in page
    low, high = (f"{end:+.3f}" for end in found["difference"]["recall"]["interval"])
    assert f"{low} to {high}" in page
    for remote in ("src=", "href=", "<script", "@import"):
        assert remote not in page


@pytest.mark.parametrize(
    ("currency", "sum_", "review"), [("EUR", "100", "5.00 EUR"), ("JPY", "10,000", "500 JPY"),
                                     ("KWD", "10", "0.500 KWD")]
)  # fmt: skip
def test_money_on_the_page_has_the_decimals_of_its_currency(currency: str, sum_: str, review: str) -> None:
    rows = decisions([9, 8, 7, 6], [1, 0, 1, 0])
    found = compare(rows, at(8.5), at(6.5), COST, BOOTSTRAP, seed=1)
    page = compare_page({**found, "names": {"a": "a", "b": "b"}, "currency": currency})
    assert f"<td>{sum_}</td>" in page
    assert f"An alert costs {review}," in page
    assert f"saved, net, {currency}" in page


def test_where_no_label_is_known_precision_is_not_known_either() -> None:
    found = compare(decisions([9, 8], [0, 0], unknown=[0, 1]), at(8.5), at(7.5), COST, BOOTSTRAP, seed=1)
    assert [found["b"][name] for name in ("alerts", "precision", "recall", "f1")] == [2, None, None, None]
    assert found["difference"]["precision"]["value"] is None


def test_nothing_to_replay_is_an_error() -> None:
    empty = random_traffic().only(np.zeros(4_000, bool))
    with pytest.raises(DataError, match="no decision"):
        compare(empty, at(1), at(2), COST, BOOTSTRAP, seed=1)


def test_only_a_policy_of_costs_needs_known_frauds_to_choose_on() -> None:
    rows = decisions(np.arange(1, 1_001), [0] * 1_000)
    assert chosen_on(rows, ThresholdParams(policy="quantile")).review > 900
    with pytest.raises(UsageError, match="needs known frauds"):
        chosen_on(rows, ThresholdParams(policy="cost"))
