"""A reason is a sentence that a reviewer reads without knowing the feature's name."""

# ruff: noqa: E501 - a sentence stays on one line

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudline.features.spec import load_spec
from fraudline.model.wording import Wording, wording_of

SPEC = load_spec()
PACKAGED = Wording.of(SPEC)


def say(name: str, value: float, expected: float) -> str:
    return PACKAGED.sentence(SPEC.names.index(name), value, expected)


@pytest.mark.parametrize(
    ("name", "value", "expected", "text"),
    [
        ("amount", 1412.0, 12.5, "the amount is 1,412.00 EUR, far above the 12.50 EUR expected"),
        ("card_count_1h", 6, 0.4, "the card made 6 transactions in the last hour, far above the 0.4 transactions expected"),
        ("card_count_1h", 1, 2.6, "the card made 1 transaction in the last hour, below the 2.6 transactions expected"),
        ("card_count_1h", 1, 50, "the card made 1 transaction in the last hour, far below the 50 transactions expected"),
        ("card_count_1h", 46, 50, "the card made 46 transactions in the last hour, slightly below the 50 transactions expected"),
        ("amount_z", -20, 0.2, "the amount lies 20.0 standard deviations below the card's habit, far below the 0.2 expected"),
        ("hour_deviation", 1.8, 0.3, "the hour lies 1.80 from the card's habit (0 = usual hour, 2 = opposite), far above the 0.30 expected"),
        ("merchant_fraud_weight_7d", 7.7, 0.2, "confirmed frauds at the merchant in the newest 7 days with known labels, those of unusual amounts counted in part, come to 7.7 frauds, far above the 0.2 frauds expected"),
        ("card_count_1h", 0, 0.8, "the card made 0 transactions in the last hour, below the 0.8 transactions expected"),
        ("merchant_streak_weight", 1, 0, "confirmed frauds at the merchant in a row, those of unusual amounts counted in part, come to 1 fraud, far above the 0 frauds expected"),
        ("amount_ratio_card_mean", 14.2, 1.1, "the amount is 14 times the card's own mean, far above the 1.1 times expected"),
        ("distance_from_home", 5869, 7.6, "the place is 5,869 km from where the card is usually used, far above the 7.6 km expected"),
        ("seconds_since_last", 4, 172_800, "the card was last used 4 seconds ago, far shorter than the 2 days expected"),
        ("merchant_risk_7d", 0.031, 0.005, "frauds were 3.1 % of the merchant's transactions in the newest 7 days with known labels, far above the 0.5 % expected"),
        ("category_rarity", 4.5, 1.95, "the merchant's category is 1 in 90 of the card's transactions, rarer than the 1 in 7 expected"),
        ("amount_z", -1.5, 0.2, "the amount lies 1.5 standard deviations below the card's habit, below the 0.2 expected"),
        ("new_device", 1, 0.1, "the device is new to the card, which is not expected"),
        ("new_device", 0, 0.1, "the device is known to the card, as expected, but not together with the other features"),
    ],
)  # fmt: skip
def test_a_value_is_said_in_its_unit_beside_what_was_expected(name, value, expected, text) -> None:  # type: ignore[no-untyped-def]
    assert say(name, value, expected) == text


def test_a_count_that_a_network_rebuilt_below_zero_is_said_as_zero() -> None:
    assert say("card_count_1d", 3, -0.4).endswith("far above the 0 transactions expected")
    assert PACKAGED.said(SPEC.names.index("merchant_risk_7d"), -0.00043) == "0 %"


def test_no_feature_of_the_packaged_specification_is_spoken_of_by_its_column_name() -> None:
    for column, feature in enumerate(SPEC.features):
        text = PACKAGED.sentence(column, 3.0, 0.25)
        assert "_" not in text, text
        assert not re.match(re.escape(feature.name.replace("_", " ")), text), text


def test_a_column_of_any_table_is_spoken_of_by_its_name() -> None:
    text = wording_of(("src_bytes",)).sentence(0, 5_400_000.0, 300.0)
    assert text == "src bytes is 5,400,000, far above the 300 expected"


@given(st.integers(0, len(SPEC.names) - 1), st.floats(width=32, allow_nan=False, allow_infinity=False),
       st.floats(width=32, allow_nan=False, allow_infinity=False))  # fmt: skip
def test_any_finite_value_has_a_sentence(column: int, value: float, expected: float) -> None:
    assert PACKAGED.sentence(column, value, expected).rstrip().endswith(("expected", "features"))
