"""The model card's figures are read with their units."""

import pytest

from fraudline.ops.model_card import CardSource, render


@pytest.mark.parametrize(
    ("currency", "shown"),
    [("EUR", ("41,272 EUR", "[30,000 EUR, 52,346 EUR]")), ("JPY", ("4,127,182 JPY", "[3,000,000 JPY, 5,234,567 JPY]"))],
)
def test_money_on_the_card_has_its_unit(currency, shown):
    metrics = {"money_saved": 4_127_181.6, "currency": currency}
    metrics["intervals"] = {"money_saved": [3_000_000.0, 5_234_567.0]}
    page = render(CardSource("a" * 64, {}, metrics, {}, {}, "b" * 40))
    assert all(text in page for text in shown)
