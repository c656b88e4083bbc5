"""Figures of parts of the test rows: by amount, by week, and of new cards."""

import numpy as np
import pytest

from fraudline.model.evaluation import EvaluationRows, Evaluator, curves
from fraudline.model.evaluation_params import BootstrapParams, EvaluateParams
from fraudline.model.evaluation_report import report
from fraudline.model.segments import segment_figures
from fraudline.model.thresholds import Thresholds

PARAMS = EvaluateParams(bootstrap=BootstrapParams(resamples=40), card_precision_k=5)
DAY = 20_500  # 2026-02-16


def evaluator(n: int = 3000, days: int = 10) -> tuple[Evaluator, np.ndarray]:
    rng = np.random.default_rng(3)
    labels = rng.random(n) < 0.05
    amounts = rng.integers(1, 9_001, n)
    truth = EvaluationRows(labels, rng.integers(0, 200, n), DAY + rng.integers(0, days, n), amounts, np.full(n, ""))
    return Evaluator(truth, PARAMS, seed=1), rng.normal(size=n) + np.where(amounts > 4_500, 3.0, 0.0) * labels


def test_a_part_has_the_figures_of_its_own_rows_alone() -> None:
    of, scores = evaluator()
    new = of.rows.cards < 20
    found = segment_figures(of, scores, 1.5, new)["card"]
    alerted, fraud = scores >= 1.5, of.rows.labels
    for name, part in (("new", new), ("known", ~new)):
        assert found[name]["rows"] == part.sum()
        assert found[name]["frauds"] == fraud[part].sum()
        assert found[name]["alert_rate"] == pytest.approx(alerted[part].mean(), abs=1e-6)
        assert found[name]["precision"] == pytest.approx(fraud[part & alerted].mean(), abs=1e-6)
        assert found[name]["recall"] == pytest.approx(alerted[part & fraud].mean(), abs=1e-6)
    (low, high), (least, most) = (found[name]["intervals"]["recall"] for name in ("known", "new"))
    assert high - low < most - least, "fewer rows say less"


def test_a_model_that_misses_small_frauds_shows_it_by_amount_and_not_by_week() -> None:
    of, scores = evaluator()
    found = segment_figures(of, scores, 1.5, np.zeros(3000, bool))
    bands = found["amount"]
    assert [band["from"] for band in bands.values()] == sorted(band["from"] for band in bands.values())
    assert sum(band["rows"] for band in bands.values()) == 3000
    assert bands["4"]["recall"] > 0.8
    assert bands["1"]["recall"] < 0.3
    assert list(found["week"]) == ["2026-02-16", "2026-02-23"]
    assert "card" not in found, "no card was new"


def test_where_nothing_is_alerted_precision_is_unknown_and_without_a_fraud_recall() -> None:
    of, scores = evaluator()
    new = ~of.rows.labels & (np.arange(3000) < 50)
    found = segment_figures(of, scores, 99.0, new)["card"]["new"]
    assert (found["precision"], found["recall"], found["alert_rate"]) == (None, None, 0.0)


def test_rows_of_one_amount_and_one_week_have_no_parts() -> None:
    of, scores = evaluator(days=7)
    same = EvaluationRows(of.rows.labels, of.rows.cards, of.rows.days, np.full(3000, 100), of.rows.kinds)
    assert segment_figures(Evaluator(same, PARAMS, seed=1), scores, 1.5, np.ones(3000, bool)) == {}


def test_the_page_names_the_parts_in_words_and_money() -> None:
    of, scores = evaluator()
    document = of.document(scores, Thresholds(review=1.5, block=3.0, policy={"name": "given"}, version="v" * 12))
    document |= {"currency": "EUR", "segments": segment_figures(of, scores, 1.5, of.rows.cards < 20)}
    page = report(document, curves(of.rows.labels, scores, 1.5))
    largest = document["segments"]["amount"]["4"]["to"]
    for text in ("week from 2026-02-23", "cards first seen in the test period", f"{largest / 100:.2f} EUR"):
        assert text in page


def test_the_page_gives_no_interval_where_all_resamples_agree() -> None:
    of, scores = evaluator()
    document = of.document(-scores, Thresholds(review=99.0, block=99.0, policy={"name": "given"}, version="v" * 12))
    assert document["intervals"]["recall"] == [0.0, 0.0]
    page = report(document | {"currency": "EUR"}, curves(of.rows.labels, -scores, 99.0))
    assert "0.000 – 0.000" not in page
