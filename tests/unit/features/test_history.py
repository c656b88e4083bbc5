"""A card's last transactions as features, against a list a card."""

import numpy as np
import pytest

from fraudline.core.errors import StateError, UsageError
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.spec import load_spec
from tests.support.transactions import random_table

NAMES = ("amount", "amount_z")
SPEC = load_spec().with_history(NAMES, 3)


def features(table: object, spec: object = SPEC) -> np.ndarray:
    return FeatureEngine(spec).advance(columns_from_table(table))


def test_each_row_sees_its_cards_earlier_rows_latest_first_and_zeros_before_the_first() -> None:
    table = random_table(1, 400, cards=7)
    matrix = features(table)
    seen: dict[str, list[np.ndarray]] = {}
    base = [SPEC.names.index(name) for name in NAMES]
    for row, card in zip(matrix, table["card_id"].to_pylist(), strict=True):
        past = seen.setdefault(card, [])
        for lag in (1, 2, 3):
            wanted = past[-lag] if lag <= len(past) else np.zeros(2, np.float32)
            assert [row[SPEC.names.index(f"{name}@{lag}")] for name in NAMES] == wanted.tolist()
        past.append(row[base])


def test_the_other_features_are_those_of_the_specification_without_history() -> None:
    table = random_table(1, 200, cards=5)
    plain = load_spec()
    assert np.array_equal(features(table)[:, : len(plain.names)], features(table, plain))


def test_a_snapshot_goes_on_bit_for_bit_and_is_refused_by_a_specification_without_history() -> None:
    table = random_table(1, 300, cards=6)
    whole = features(table)
    first = FeatureEngine(SPEC)
    first.advance(columns_from_table(table.slice(0, 150)))
    kept = first.snapshot()

    second = FeatureEngine(SPEC)
    second.restore(kept)

    assert np.array_equal(second.advance(columns_from_table(table.slice(150))), whole[150:])
    with pytest.raises(StateError):
        FeatureEngine(load_spec()).restore(kept)


def test_history_costs_what_it_says() -> None:
    assert FeatureEngine(SPEC).card_bytes - FeatureEngine(load_spec()).card_bytes == 3 * 2 * 4


def test_a_history_of_an_unknown_feature_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing"):
        load_spec().with_history(("nothing",), 2)
