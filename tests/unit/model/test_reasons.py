"""Reasons name the features that made the score, in words a reviewer reads."""

import numpy as np
import pytest

from fraudline.features.spec import FeatureSpec, load_spec
from fraudline.model.reasons import top_reasons
from fraudline.model.wording import Wording

NAMES = ("amount", "night", "distance")


def test_the_largest_contributions_come_first_with_their_shares() -> None:
    (reasons,) = top_reasons(
        NAMES,
        np.array([[1.0, 3.0, 4.0]], np.float32),
        np.array([[10.0, 1.0, 900.0]], np.float32),
        np.array([[9.0, 0.0, 20.0]], np.float32),
        k=2,
    )
    assert [reason.feature for reason in reasons] == ["distance", "night"]
    assert [reason.share for reason in reasons] == [0.5, 0.375]
    assert reasons[0].text == "distance is 900, far above the 20 expected"
    assert reasons[1].text == "it is night, which is not expected"


def test_a_feature_that_speaks_for_the_transaction_is_no_reason() -> None:
    (reasons,) = top_reasons(
        NAMES,
        np.array([[2.0, -1.0, 0.0]], np.float32),
        np.zeros((1, 3), np.float32),
        np.zeros((1, 3), np.float32),
    )
    assert [reason.feature for reason in reasons] == ["amount"]
    assert reasons[0].share == 2.0


def test_every_row_has_its_own_list_and_more_reasons_than_features_are_not_asked_for() -> None:
    rng = np.random.default_rng(0)
    shares = rng.uniform(0.1, 1, (5, 3)).astype(np.float32)
    rows = top_reasons(NAMES, shares, shares, shares, k=10)
    assert [len(row) for row in rows] == [3] * 5
    for row in rows:
        assert sum(reason.share for reason in row) == pytest.approx(1, rel=1e-5)


def test_a_model_speaks_in_the_words_and_the_currency_of_its_own_specification() -> None:
    spec = load_spec()
    dollars = FeatureSpec.parse({**spec.model_dump(), "base_currency": "USD"}, "spec")
    one = np.zeros((1, len(spec.names)), np.float32)
    one[0, 0] = 1
    (reasons,) = top_reasons(spec.names, one, one * 412.5, one * 12.5, k=1, wording=Wording.of(dollars))
    assert reasons[0].text == "the amount is 412.50 USD, far above the 12.50 USD expected"
