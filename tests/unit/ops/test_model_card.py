"""The model card's figures are read with their units."""

from fraudline.ops.model_card import CardSource, render


def test_money_on_the_card_has_its_unit():
    page = render(CardSource("a" * 64, {}, {"money_saved": 4_127_181.6}, {}, {}, "b" * 40))
    assert "<code>money_saved</code>, minor units of the base currency" in page
