"""The model card's figures are read with their units."""

import re

import pytest

from fraudline.ops.model_card import CardSource, render


@pytest.mark.parametrize(
    ("currency", "shown"),
    [("EUR", ("41,272", "[30,000, 52,346]")), ("JPY", ("4,127,182", "[3,000,000, 5,234,567]"))],
)
def test_money_on_the_card_has_its_unit(currency, shown):
    metrics = {"money_saved": 4_127_181.6, "currency": currency}
    metrics["intervals"] = {"money_saved": [3_000_000.0, 5_234_567.0]}
    page = render(CardSource("a" * 64, {}, metrics, {}, {}, "b" * 40))
    assert f"fraud losses saved, net of reviews, {currency}" in page
    assert all(text in page for text in shown)


def test_the_card_says_figures_in_the_words_of_the_field_with_their_intervals():
    figures = {"ap": 0.433, "cp100": 0.108, "recall_at_0.5pct": 0.366, "intervals": {"cp100": [0.094, 0.124]}}
    metrics = figures | {"kinds": {"card_testing": {"frauds": 9, **figures}}, "baselines": {"pca": figures}}
    rules = [{"metric": "recall_at_0.5pct", "bound": "at least 0.2", "passed": True}]

    page = render(CardSource("a" * 64, {}, metrics, {"rules": rules}, {}, "b" * 40))

    assert not re.search("cp100|recall_at|roc_auc|>ap<", page)
    assert page.count("recall at an alert rate of 0.5 %") == 3
    assert page.count('<div class="wide" tabindex="0">') == page.count("<section>") > 0
    assert not re.search("<th [^>]*></th>", page)
    assert 'card precision at 100</td><td class="n">0.108</td><td >[0.094, 0.124]' in page


def test_the_card_of_a_model_of_generated_data_says_so():
    metrics = ({"rows": 1, "origin": "generated"}, {"rows": 1})
    pages = [render(CardSource("a" * 64, {}, each, {}, {}, "b" * 40)) for each in metrics]
    assert ["made up by a generator" in page for page in pages] == [True, False]


def test_the_card_gives_no_interval_where_all_resamples_agree():
    ends = {"recall": [0, 0], "precision": [0.1, 0.4]}
    page = render(CardSource("a" * 64, {}, {"recall": 0.0, "precision": 0.25, "intervals": ends}, {}, {}, "b" * 40))
    assert "[0.1, 0.4]" in page
    assert "[0, 0]" not in page
