"""Amounts have the decimals of their currency wherever people read them."""

import pytest

from fraudline.data.money import decimals_of, money, rounded
from fraudline.features.spec import load_spec
from fraudline.model.wording import formatter
from fraudline.steps.replay_page import _example


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (123_456, "EUR", "1,234.56 EUR"),
        (1_000, "JPY", "1,000 JPY"),
        (1_500, "KWD", "1.500 KWD"),
        (12_345, "CLF", "1.2345 CLF"),
    ],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(minor, currency, shown):
    assert money(minor, currency) == shown
    row = {"transaction_id": "t", "before_decision": "allow", "before_score": 1.0, "decision": "review", "score": 2.0}
    row |= {"amount_minor": minor, "currency": currency, "label": "fraud"}
    assert f"<td>{shown}</td>" in _example(row)


def test_a_sum_is_written_in_whole_units_and_a_feature_with_the_decimals_of_its_currency():
    assert [rounded(4_127_181.6, code) for code in ("EUR", "JPY", "KWD")] == [
        "41,272",
        "4,127,182",
        "4,127",
    ]
    assert rounded(12_345, "EUR", signed=True) == "+123"
    assert formatter("base currency", "JPY")(1_234.0) == "1,234 JPY"
    assert formatter("base currency", "KWD")(1.5) == "1.500 KWD"


def test_the_packaged_specification_has_the_decimals_of_the_standard():
    currencies = load_spec().currencies
    assert [each.exponent for each in currencies.values()] == decimals_of(list(currencies)).tolist()
