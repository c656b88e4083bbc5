"""The model card's figures are read with their units."""

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
    assert f"<code>money_saved</code>, {currency}" in page
    assert all(text in page for text in shown)
