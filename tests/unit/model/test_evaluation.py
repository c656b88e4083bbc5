import json
import re
import xml.dom.minidom
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from fraudline.core.errors import DataError
from fraudline.model.evaluation import EvaluationRows, Evaluator, curves, score_histogram
from fraudline.model.evaluation_charts import interval_chart
from fraudline.model.evaluation_params import BootstrapParams, EvaluateParams
from fraudline.model.evaluation_report import report
from fraudline.model.metrics import average_precision, card_precision, roc_auc
from fraudline.model.thresholds import Thresholds

PARAMS = EvaluateParams(bootstrap=BootstrapParams(resamples=40), card_precision_k=5)
THRESHOLDS = Thresholds.of(2.0, 3.5, {"name": "test"})


def rows(n: int = 4000, seed: int = 0) -> tuple[EvaluationRows, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.03
    kinds = np.where(labels, rng.choice(["card_testing", "impossible_travel"], n), "")
    truth = EvaluationRows(labels, rng.integers(0, 150, n), rng.integers(0, 7, n), rng.integers(100, 90_000, n), kinds)
    strength = np.where(kinds == "card_testing", 3.0, 1.0)
    return truth, rng.normal(size=n) + strength * labels


def document(**others: np.ndarray) -> dict:
    truth, scores = rows()
    found = Evaluator(truth, PARAMS, seed=1).document(
        scores, THRESHOLDS, baselines={"pca": scores[::-1].copy()}, champion=others.get("champion")
    )
    return found | {"currency": "EUR"}


def test_the_headline_figures_are_those_of_the_metrics() -> None:
    truth, scores = rows()
    found = document()
    assert found["ap"] == pytest.approx(average_precision(truth.labels, scores), abs=1e-6)
    assert found["roc_auc"] == pytest.approx(roc_auc(truth.labels, scores), abs=1e-6)
    assert found["cp5"] == pytest.approx(card_precision(truth.labels, scores, truth.cards, truth.days, 5), abs=1e-6)
    assert found["rows"] == 4000
    assert found["frauds"] == truth.labels.sum()
    for name in ("ap", "roc_auc", "cp5", "recall_at_0.5pct", "precision", "recall", "f1", "money_saved"):
        low, high = found["intervals"][name]
        assert low <= high


def test_a_kind_is_its_frauds_against_all_normals() -> None:
    truth, scores = rows()
    found = document()["kinds"]
    chosen = ~truth.labels | (truth.kinds == "impossible_travel")
    assert found["impossible_travel"]["ap"] == pytest.approx(
        average_precision(truth.labels[chosen], scores[chosen]), abs=1e-6
    )
    assert found["card_testing"]["recall"] == pytest.approx(
        np.mean(scores[truth.kinds == "card_testing"] >= 2), abs=1e-6
    )
    assert found["card_testing"]["ap"] > found["impossible_travel"]["ap"]
    assert sum(kind["frauds"] for kind in found.values()) == truth.labels.sum()


def test_the_champion_is_paired_with_the_candidate_resample_by_resample() -> None:
    truth, scores = rows()
    same = document(champion=scores)["champion"]
    worse = document(champion=scores - 1.0 * truth.labels)["champion"]
    assert set(same["paired"]["ap"]) == {0.0}
    assert len(worse["paired"]["ap"]) == 40
    assert min(worse["paired"]["ap"]) > 0


def test_a_score_at_the_threshold_is_an_alert_in_every_figure() -> None:
    truth = EvaluationRows(
        np.array([False, True, True, False]),
        np.arange(4),
        np.zeros(4, int),
        np.ones(4, int),
        np.array(["", "card_testing", "card_testing", ""]),
    )
    scores = np.array([1.0, 2.0, 1.9, 2.1])
    found = Evaluator(truth, PARAMS, seed=1).document(scores, THRESHOLDS)
    assert found["confusion"]["matrix"] == [[1, 1], [1, 1]]
    assert (found["recall"], found["precision"], found["alerts"]) == (0.5, 0.5, 2)
    assert found["kinds"]["card_testing"]["recall"] == 0.5
    assert found["thresholds"][0]["recall"] == 0.5


def test_no_line_of_the_threshold_table_alerts_more_than_it_says_where_scores_are_equal() -> None:
    truth, scores = rows()
    tied = Evaluator(truth, PARAMS, seed=1).document(np.ceil(scores), THRESHOLDS)["thresholds"]
    named = {line["name"]: line["alerts"] / len(scores) for line in tied if line["name"].endswith("% alerted")}
    assert named
    assert all(share <= float(name.split(" ")[0]) / 100 for name, share in named.items()), named


def test_the_document_is_json_without_nan_and_the_same_every_time() -> None:
    texts = [json.dumps(document(), sort_keys=True, allow_nan=False) for _ in range(2)]
    assert texts[0] == texts[1]


def test_the_truth_is_taken_from_the_features_table() -> None:
    table = pa.table(
        {
            "card_id": ["b", "a", "b"],
            "event_time": pa.array(
                [datetime(2026, 1, d, 23, tzinfo=UTC) for d in (1, 1, 2)], pa.timestamp("us", tz="UTC")
            ),
            "amount_minor": pa.array([100, 200, 300], pa.int64()),
            "is_fraud": [False, True, False],
            "fraud_kind": [None, "card_testing", None],
        }
    )
    truth = EvaluationRows.of(table)
    assert truth.cards.tolist() == [0, 1, 0]
    assert (truth.days - truth.days[0]).tolist() == [0, 0, 1]
    assert truth.kinds.tolist() == ["", "card_testing", ""]
    with pytest.raises(DataError, match="0 known frauds"):
        EvaluationRows.of(table.filter(pa.array([True, False, True])))


def test_the_tables_behind_the_plots_hold_every_transaction_once() -> None:
    truth, scores = rows()
    tables = curves(truth.labels, scores, 2.0)
    assert set(tables) == {"roc", "pr", "confusion", "score_hist"}
    assert tables["confusion"].num_rows == 4000
    assert sum(tables["score_hist"]["normal"].to_pylist()) == pytest.approx(1)
    assert sum(tables["score_hist"]["fraud"].to_pylist()) == pytest.approx(1)


def test_a_histogram_of_equal_scores_is_one_bar() -> None:
    labels = np.array([True, False, False])
    table = score_histogram(labels, np.ones(3))
    assert max(table["normal"].to_pylist()) == 1


def test_the_report_opens_offline_and_shows_figures_kinds_baselines_and_champion() -> None:
    truth, scores = rows()
    found = document(champion=scores * 0.5)
    found["champion"]["digest"] = "c" * 64
    found["model"] = {"digest": "d" * 64, "version": "d" * 12}
    found["period"] = {"start": "2026-03-01", "end": "2026-03-08"}
    page = report(found, curves(truth.labels, scores, 2.0))
    assert f"{found['ap']:.3f}" in page
    for text in ("impossible travel", "pca", "champion cccccccc", "d" * 12, "2026-03-01", "review", "block"):
        assert text in page
    said = " ".join(re.sub(r"<svg.*?</svg>|<style.*?</style>|<[^>]+>", " ", page, flags=re.S).split())
    for text in (
        "Intervals are the central 90 % of",
        "saves 80 % of its amount",
        "cards found are removed from later days",
    ):
        assert text in said
    assert not re.search(r"\d%", said), "one style of per cent"
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|<link|@import", page)
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == 5
    for drawing in drawings:
        xml.dom.minidom.parseString(drawing)  # noqa: S318 - our own page
        assert "nan" not in drawing


def test_of_one_card_no_figure_has_an_interval_and_the_report_says_why() -> None:
    """All resamples of one card are the same: intervals would be points, and differences beyond doubt."""
    truth, scores = rows()
    alone = EvaluationRows(truth.labels, np.zeros_like(truth.cards), truth.days, truth.amounts, truth.kinds)
    found = Evaluator(alone, PARAMS, seed=1).document(scores, THRESHOLDS, baselines={"pca": scores}, champion=scores)
    assert {tuple(ends) for ends in found["intervals"].values()} == {(None, None)}
    assert not any(found["champion"]["paired"].values())
    found |= {"currency": "EUR", "champion": {**found["champion"], "digest": "c" * 64}}
    page = report(found, curves(truth.labels, scores, 2.0))
    assert "Too few cards for an interval: 1, and not 10." in page
    assert "None" not in page.replace("None of these days", "")
    assert "Too few" not in report(document(), curves(truth.labels, scores, 2.0))


def test_an_axis_that_begins_at_chance_shows_how_models_differ_and_begins_at_zero_for_one_below_it() -> None:
    """Between 0 and 1 the intervals of good models are points."""

    def length(low: float) -> float:
        drawn = interval_chart([("a", 0.95, low, 0.97, "c1"), ("b", 0.9, 0.9, 0.9, "c3")], x_label="ROC-AUC", least=0.5)
        start, end = re.search(r'class="whisker c1" x1="([\d.]+)"[^>]*x2="([\d.]+)"', drawn).groups()  # type: ignore[union-attr]
        assert (">0<" in drawn) == (low < 0.5)
        return (float(end) - float(start)) / (0.97 - low)

    assert length(0.93) > 1.9 * length(0.4)


def test_the_report_says_so_when_a_data_set_names_no_kinds() -> None:
    truth, scores = rows()
    bare = EvaluationRows(truth.labels, truth.cards, truth.days, truth.amounts, np.full(4000, ""))
    found = Evaluator(bare, PARAMS, seed=1).document(scores, THRESHOLDS)
    assert found["kinds"] == {}
    assert "names no fraud kinds" in report({**found, "currency": ""}, curves(truth.labels, scores, 2.0))


@pytest.mark.parametrize(("currency", "minor", "review"), [("JPY", 1, "500 JPY"), ("KWD", 1_000, "0.500 KWD")])
def test_money_in_the_report_has_the_decimals_of_its_currency(currency: str, minor: int, review: str) -> None:
    truth, scores = rows()
    found = document() | {"currency": currency}
    page = report(found, curves(truth.labels, scores, 2.0))
    assert f"saved, net, {currency}" in page
    assert f"<td>{found['thresholds'][0]['money_saved'] / minor:,.0f}</td>" in page
    assert f"An alert costs {review}," in page


def test_the_report_counts_one_as_one_and_says_that_few_frauds_say_little() -> None:
    truth, scores = rows()
    few = document() | {"frauds": 1, "days": 1}
    tables = curves(truth.labels, scores, 2.0)
    page = report(few, tables)
    assert "on 1 day, 1 fraud (0.03 %)" in page
    assert "fewer than 30 frauds say little" in page
    assert "say little" not in report(document(), tables)
