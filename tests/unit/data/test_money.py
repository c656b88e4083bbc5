"""Amounts have the decimals of their currency wherever people read them."""

import pytest

from fraudline.data.money import money
from fraudline.steps.replay_page import _example


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(123_456, "EUR", "1,234.56 EUR"), (1_000, "JPY", "1,000 JPY"), (1_500, "KWD", "1.500 KWD")],
)
def test_an_amount_is_written_with_the_decimals_of_its_currency(minor, currency, shown):
    assert money(minor, currency) == shown
    row = {"transaction_id": "t", "before_decision": "allow", "before_score": 1.0, "decision": "review", "score": 2.0}
    row |= {"amount_minor": minor, "currency": currency, "label": "fraud"}
    assert f"<td>{shown}</td>" in _example(row)
