from typing import Any

import pytest

from fraudline.core.errors import UsageError
from fraudline.ops.gate import (
    NO_CHAMPION,
    GateParams,
    blessed,
    blessing,
    blessing_markdown,
    figure_at,
    judge,
)

METRICS: dict[str, Any] = {
    "ap": 0.60,
    "recall_at_0.5pct": 0.45,
    "alert_rate": 0.006,
    "f1": None,
    "kinds": {"card_testing": {"recall": 0.8, "recall_at_0.5pct": 0.7}},
    "champion": {
        "digest": "c" * 64,
        "ap": 0.58,
        "alert_rate": 0.005,
        "paired": {"ap": [0.02 + 0.01 * (i - 5) for i in range(10)], "alert_rate": [0.001] * 10},
    },
}


def params(*rules: dict[str, Any]) -> GateParams:
    return GateParams.parse({"rules": list(rules)}, "params.yaml")


def change(**more: Any) -> dict[str, Any]:
    return {"metric": "ap", "against": "champion", "min_change": -0.02, "confidence": 0.9, **more}


def test_figures_of_a_handful_of_frauds_are_not_blessed_by_default() -> None:
    figures = {"ap": 0.45, "roc_auc": 0.9, "recall_at_0.5pct": 0.25, "suspicious_share": None}
    few, enough = (judge({**figures, "frauds": frauds}, GateParams()) for frauds in (29, 30))
    assert [rule.metric for rule in few if rule.passed is False] == ["frauds"]
    assert blessed(enough)
    assert not blessed(few)


def test_a_value_rule_passes_on_its_bound_and_says_by_how_much() -> None:
    passed, failed, capped = judge(
        METRICS,
        params({"metric": "ap", "min": 0.6}, {"metric": "ap", "min": 0.75}, {"metric": "alert_rate", "max": 0.01}),
    )
    assert (passed.passed, passed.margin) == (True, 0.0)
    assert (failed.passed, failed.margin) == (False, pytest.approx(-0.15))
    assert (capped.passed, capped.margin) == (True, pytest.approx(0.004))


def test_a_change_rule_counts_the_paired_resamples_that_reach_the_bound() -> None:
    # paired changes: -.03 -.02 ... +.06; nine of ten are at least -.02
    results = judge(METRICS, params(change(), change(confidence=0.95), change(min_change=-0.03, confidence=0.99)))
    assert [result.passed for result in results] == [True, False, True]
    assert results[0].value == pytest.approx(-0.02)
    assert results[1].margin == pytest.approx(-0.01)
    assert "9 of 10" in results[0].note
    assert "higher is better" in results[0].bound


def test_as_many_resamples_as_the_confidence_says_are_enough() -> None:
    paired = {"champion": {**METRICS["champion"], "paired": {"ap": [-0.1] * 45 + [0.1] * 55}}}
    results = judge({**METRICS, **paired}, params(change(confidence=0.55), change(confidence=0.56)))
    assert [result.passed for result in results] == [True, False]


def test_a_lower_is_better_rule_turns_the_change_round() -> None:
    rule = {"metric": "alert_rate", "against": "champion", "direction": "lower_is_better", "confidence": 0.9}
    worse, tolerated = judge(METRICS, params({**rule, "min_change": 0.0}, {**rule, "min_change": -0.002}))
    assert worse.passed is False
    assert worse.value == pytest.approx(-0.001)
    assert "lower is better" in worse.bound
    assert tolerated.passed is True


def test_without_resamples_the_figures_themselves_are_compared() -> None:
    champion = {"digest": "c" * 64, "ap": 0.63}
    (result,) = judge({**METRICS, "champion": champion}, params(change()))
    assert result.passed is False
    assert result.value == pytest.approx(-0.03)
    assert "no paired resamples" in result.note


def test_without_a_champion_a_change_rule_is_recorded_as_not_applicable() -> None:
    metrics = {key: value for key, value in METRICS.items() if key != "champion"}
    results = judge(metrics, params({"metric": "ap", "min": 0.3}, change()))
    assert [result.passed for result in results] == [True, None]
    assert results[1].note == NO_CHAMPION
    assert blessed(results)


def test_a_model_to_which_no_rule_applies_is_not_blessed() -> None:
    metrics = {key: value for key, value in METRICS.items() if key != "champion"}
    assert not blessed(judge(metrics, params(change())))


def test_a_champion_that_cannot_be_compared_fails_the_rule() -> None:
    metrics = {**METRICS, "champion": {"digest": "c" * 64, "comparable": False, "reason": "it needs the feature x"}}
    (result,) = judge(metrics, params(change()))
    assert result.passed is False
    assert "it needs the feature x" in result.note


def test_a_figure_is_found_by_its_path_also_when_its_name_holds_a_dot() -> None:
    assert figure_at(METRICS, "recall_at_0.5pct") == 0.45
    assert figure_at(METRICS, "kinds.card_testing.recall_at_0.5pct") == 0.7


def test_a_rule_on_a_figure_that_the_test_days_were_too_few_for_says_so() -> None:
    metrics = {**METRICS, "segments": {"amount": {"below 10": {"ap": None}}}}
    for name in ("f1", "segments.amount.below 10.ap"):
        with pytest.raises(UsageError, match="could not be measured") as caught:
            judge(metrics, params({"metric": name, "min": 0.1}))
        assert "test_days" in caught.value.action


@pytest.mark.parametrize("name", ["apx", "kinds", "kinds.card_testing", "champion.digest"])
def test_a_rule_on_a_figure_that_was_not_measured_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(UsageError, match=r"did not measure.*alert_rate, ap"):
        judge(METRICS, params({"metric": name, "min": 0.1}))


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "ap"},
        {"metric": "ap", "min": 0.1, "max": 0.2},
        {"metric": "ap", "min": 0.1, "against": "champion", "min_change": 0},
        {"metric": "ap", "max": 0.1, "against": "champion", "min_change": 0},
        {"metric": "ap", "against": "champion"},
        {"metric": "ap", "min": 0.1, "min_change": 0.1},
        {"metric": "ap", "minimum": 0.1},
        {"metric": "ap", "against": "yesterday", "min_change": 0},
    ],
)
def test_a_malformed_rule_is_refused_naming_its_place(rule: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"rules\.0"):
        params(rule)


def test_the_page_lists_every_rule_with_figure_bound_margin_and_result() -> None:
    record = blessing(
        judge(METRICS, params({"metric": "ap", "min": 0.75}, change())),
        digest="d" * 64,
        champion="c" * 64,
        evaluation_sha256="e" * 64,
    )
    page = blessing_markdown(record)
    assert record["blessed"] is False
    assert record["failed"] == 1
    assert "not blessed" in page
    assert "| average precision (`ap`) | 0.6 | – | at least 0.75 | -0.15 | **fail** |" in page
    assert "| pass |" in page
    assert "d" * 64 in page
    assert f"Compared with the champion `{'c' * 64}`." in page


def test_the_page_of_the_first_model_says_that_there_is_no_champion() -> None:
    metrics = {key: value for key, value in METRICS.items() if key != "champion"}
    results = judge(metrics, params({"metric": "ap", "min": 0.5}, change()))
    page = blessing_markdown(blessing(results, digest="d" * 64, champion=None, evaluation_sha256="e" * 64))
    assert "There is no champion." in page
    assert f"| n/a | {NO_CHAMPION} |" in page


def test_a_share_of_suspicious_rows_that_moved_fails_and_one_that_is_unknown_does_not_apply() -> None:
    rule = {
        "metric": "suspicious_share", "against": "champion", "direction": "lower_is_better", "min_change": -0.01
    }  # fmt: skip
    moved, same, unknown = (
        judge({"suspicious_share": now, "champion": {"suspicious_share": before}}, params(rule))[0]
        for now, before in ((0.031, 0.004), (0.012, 0.004), (0.031, None))
    )
    assert (moved.passed, moved.margin) == (False, pytest.approx(-0.017))
    assert same.passed is True
    assert (unknown.passed, unknown.figure) == (None, None)
    (bounded,) = judge({"suspicious_share": None}, params({"metric": "suspicious_share", "max": 0.01}))
    assert (bounded.passed, bounded.figure) == (None, None)
