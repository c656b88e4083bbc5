"""Batch and stream are the same bits; state survives as bytes; the future is never seen."""

from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fraudline.core.errors import MessageError, SchemaError, StateError
from fraudline.features import kernel
from fraudline.features.cards import CardIndex
from fraudline.features.columns import columns_from_messages, columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable, build_profiles
from fraudline.features.spec import load_spec
from tests.support.transactions import DAY, START, labels_of, messages_of, random_table, table_of, transaction

SPEC = load_spec()
ROWS = 300
TABLE = random_table(7, ROWS, cards=6)
MESSAGES = messages_of(TABLE)
FRAUDS = labels_of([(f"t{i:06d}", START + (i % 30 + 8) * DAY) for i in range(0, ROWS, 9)])
PROFILES = ProfileTable.of(build_profiles(TABLE, FRAUDS, spec=SPEC, label_delay_days=7), SPEC, "test")
BATCH = FeatureEngine(SPEC, PROFILES).advance(columns_from_table(TABLE))


@given(cuts=st.lists(st.integers(0, ROWS), max_size=12), restarts=st.sets(st.integers(0, 12)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_cut_into_batches_with_restarts_between_gives_the_bits_of_one_batch(cuts, restarts):
    engine, parts = FeatureEngine(SPEC, PROFILES), []
    bounds = [0, *sorted(cuts), ROWS]
    for k, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        if k in restarts:
            kept = engine.snapshot()
            engine = FeatureEngine(SPEC, PROFILES)
            engine.restore(kept)
        parts.append(engine.advance(columns_from_messages(MESSAGES[begin:end])))
    assert np.concatenate(parts).tobytes() == BATCH.tobytes()


@given(cut=st.integers(1, ROWS - 1), seed=st.integers(0, 2**16))
@settings(max_examples=30)
def test_permuting_or_changing_the_future_never_changes_a_past_feature(cut, seed):
    rng = np.random.default_rng(seed)
    future = TABLE.slice(cut).take(rng.permutation(ROWS - cut))
    amounts = pa.array(rng.integers(0, 10**7, ROWS - cut))
    future = future.set_column(future.column_names.index("amount_minor"), future.schema.field("amount_minor"), amounts)
    changed = pa.concat_tables([TABLE.slice(0, cut), future])
    got = FeatureEngine(SPEC, PROFILES).advance(columns_from_table(changed))
    assert got[:cut].tobytes() == BATCH[:cut].tobytes()


def test_other_cards_do_not_change_a_cards_features():
    alone = TABLE.filter(pa.compute.equal(TABLE["card_id"], "c3"))
    mask = np.array([card == "c3" for card in TABLE["card_id"].to_pylist()])
    got = FeatureEngine(SPEC, PROFILES).advance(columns_from_table(alone))
    assert got.tobytes() == BATCH[mask].tobytes()


def test_features_are_finite_float32_in_the_order_of_the_specification():
    assert BATCH.dtype == np.float32
    assert BATCH.shape == (ROWS, len(SPEC.names))
    assert np.isfinite(BATCH).all()


def test_a_smaller_specification_gives_its_columns_of_the_full_one():
    small = SPEC.without(["night", "amount"])
    got = FeatureEngine(small, PROFILES).advance(columns_from_table(TABLE))
    np.testing.assert_array_equal(got, BATCH[:, [SPEC.names.index(name) for name in small.names]])


def test_state_grows_with_the_cards_and_keeps_the_old_ones():
    many = table_of([transaction(i, card_id=f"card{i}") for i in range(3000)])
    again = table_of([transaction(4000 + i, card_id=f"card{i}") for i in range(3000)])
    engine = FeatureEngine(SPEC)
    engine.advance(columns_from_table(many))
    got = engine.advance(columns_from_table(again))
    assert engine.cards == 3000
    assert got[:, SPEC.names.index("card_count_1d")].tolist() == [1.0] * 3000


def test_no_transaction_is_no_row():
    engine = FeatureEngine(SPEC)
    assert engine.advance(columns_from_messages([])).shape == (0, len(SPEC.names))
    assert engine.advance(columns_from_table(TABLE.slice(0, 0))).shape == (0, len(SPEC.names))
    assert engine.cards == 0


def test_a_snapshot_of_nothing_restores_to_nothing():
    engine = FeatureEngine(SPEC)
    engine.restore(FeatureEngine(SPEC).snapshot())
    assert engine.cards == 0


def advanced():
    engine = FeatureEngine(SPEC, PROFILES)
    engine.advance(columns_from_table(TABLE))
    return engine


@given(at=st.integers(0, 2000), flip=st.integers(1, 255))
@settings(max_examples=40)
def test_a_snapshot_with_one_changed_byte_is_refused_and_the_state_kept(at, flip):
    kept = advanced().snapshot()
    at = min(at * (len(kept) // 2000 + 1), len(kept) - 1)
    damaged = kept[:at] + bytes([kept[at] ^ flip]) + kept[at + 1 :]
    engine = advanced()
    with pytest.raises(StateError, match=r"damaged"):
        engine.restore(damaged)
    assert engine.snapshot() == kept


@given(cuts=st.lists(st.integers(0, 200), min_size=1, max_size=6), cards=st.integers(1, 40), seed=st.integers(0, 99))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_frozen_stays_as_it_was_while_transactions_go_on_between_its_pieces(cuts, cards, seed):
    table = random_table(seed, 200, cards=cards)
    engine = FeatureEngine(SPEC, PROFILES)
    engine.advance(columns_from_table(table.slice(0, 100)))
    kept = engine.snapshot()
    with mock.patch("fraudline.features.frozen.ROWS", 7):
        frozen, parts, at = engine.freeze(), [], 100
        for i, piece in enumerate(frozen.pieces()):
            parts.append(piece)
            if i < 40:
                step = cuts[i % len(cuts)] % 20
                engine.advance(columns_from_table(table.slice(at, step)))
                at += step
        content = b"".join(parts)
        again = FeatureEngine(SPEC, PROFILES)
        again.restore(content)
    assert again.snapshot() == kept


def test_cards_that_make_the_state_grow_are_no_part_of_what_was_frozen_before():
    engine = advanced()
    kept, frozen = engine.snapshot(), engine.freeze()
    engine.advance(columns_from_table(table_of([transaction(40 * 86_400 + i, card_id=f"new{i}") for i in range(3000)])))
    engine.advance(columns_from_table(TABLE))
    assert b"".join(frozen.pieces()) == kept
    assert engine.cards > 3000


@pytest.mark.parametrize("content", [b"", b"x" * 63, b"FRAUDLINE-STATE\n", b"\x80\x04K\x01." * 40])
def test_bytes_that_are_no_snapshot_are_refused(content):
    with pytest.raises(StateError, match=r"checkpoint"):
        FeatureEngine(SPEC).restore(content)


def test_a_cut_snapshot_is_refused():
    kept = advanced().snapshot()
    for size in (len(kept) - 1, len(kept) // 2, 100):
        with pytest.raises(StateError):
            FeatureEngine(SPEC).restore(kept[:size])


def test_state_of_another_specification_is_refused_with_both_names():
    other = SPEC.without(["night"])
    with pytest.raises(StateError, match=SPEC.version) as caught:
        FeatureEngine(other).restore(advanced().snapshot())
    assert other.version in str(caught.value)
    assert "replay" in caught.value.action


def test_an_unknown_currency_is_named_before_any_state_moves():
    engine = advanced()
    kept = engine.snapshot()
    wrong = table_of([transaction(0, card_id="fresh"), transaction(1, currency="XXX")])
    with pytest.raises(SchemaError, match="XXX"):
        engine.advance(columns_from_table(wrong))
    with pytest.raises(MessageError, match="XXX"):
        engine.advance(columns_from_messages(messages_of(wrong)))
    assert engine.snapshot() == kept


def test_amounts_of_other_currencies_are_in_the_base_currency():
    rows = [("EUR", 1000, 10.0), ("USD", 1000, 9.2), ("JPY", 1000, 6.2), ("KWD", 1000, 3.0), ("EUR", -5, 0.0)]
    table = table_of([transaction(i, currency=code, amount_minor=minor) for i, (code, minor, _) in enumerate(rows)])
    got = FeatureEngine(SPEC).advance(columns_from_table(table))[:, SPEC.names.index("amount")]
    np.testing.assert_allclose(got, [amount for _, _, amount in rows], rtol=1e-6)


def test_an_absurd_amount_is_cut_and_leaves_the_state_finite():
    rows = [transaction(i, amount_minor=2**62) for i in range(50)] + [transaction(60)]
    got = FeatureEngine(SPEC).advance(columns_from_table(table_of(rows)))
    assert np.isfinite(got).all()
    assert got[0, 0] == SPEC.parameters.amount_limit


def test_a_card_costs_at_most_twelve_hundred_bytes_with_its_identifier_and_its_place_in_the_index():
    index = CardIndex()
    index.slots_of([f"card-{k:09d}" for k in range(20_000)])
    assert FeatureEngine(SPEC).card_bytes + index.nbytes / len(index) <= 1_200


def test_without_any_folder_for_compiled_code_the_kernel_compiles_in_memory(monkeypatch):
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert kernel.compiled().targetoptions["nopython"]


def test_room_is_reserved_without_changing_features():
    engine = FeatureEngine(SPEC, PROFILES)
    engine.reserve(5000)
    assert engine.advance(columns_from_table(TABLE)).tobytes() == BATCH.tobytes()


def test_newer_profiles_take_effect_at_once_and_are_named():
    engine = FeatureEngine(SPEC)
    assert engine.profile_version == "none"
    before = engine.advance(columns_from_table(TABLE.slice(0, 200)))
    engine.use_profiles(PROFILES)
    after = engine.advance(columns_from_table(TABLE.slice(200)))
    column = SPEC.names.index("merchant_count_30d")
    assert engine.profile_version == "test"
    assert before[:, column].max() == 0
    np.testing.assert_array_equal(after[:, column], BATCH[200:, column])


def test_tables_messages_and_restored_state_share_one_compiled_kernel():
    engine = FeatureEngine(SPEC, PROFILES)
    engine.advance(columns_from_messages([]))
    engine.advance(columns_from_table(TABLE.slice(0, 10)))
    engine.restore(engine.snapshot())
    engine.advance(columns_from_messages(MESSAGES[10:20]))
    FeatureEngine(SPEC).advance(columns_from_table(TABLE.slice(0, 10)))
    assert len(kernel._advance.signatures) == 1
