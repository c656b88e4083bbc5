"""A table and messages with the same rows give the same arrays; what does not fit is named."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.core.errors import MessageError, SchemaError
from fraudline.features.columns import columns_from_messages, columns_from_table, fragments, hash64
from tests.support.transactions import messages_of, random_table, table_of, transaction


def assert_equal(a, b):
    for field in dataclasses.fields(a):
        left, right = getattr(a, field.name), getattr(b, field.name)
        if field.name == "source":
            continue
        if isinstance(left, list):
            assert left == right, field.name
        else:
            assert left.dtype == right.dtype, field.name
            np.testing.assert_array_equal(left, right, err_msg=field.name)


@given(seed=st.integers(0, 2**16), n=st.integers(0, 60))
@settings(max_examples=25)
def test_table_and_messages_give_identical_columns(seed, n):
    table = random_table(seed, max(n, 1)).slice(0, n)
    assert_equal(columns_from_table(table), columns_from_messages(messages_of(table)))


def test_chunks_and_dictionary_columns_make_no_difference():
    table = random_table(3, 50)
    chunked = pa.concat_tables([table.slice(0, 20), table.slice(20)])
    index = chunked.column_names.index("merchant_id")
    encoded = chunked.set_column(index, "merchant_id", chunked["merchant_id"].dictionary_encode())
    assert_equal(columns_from_table(table), columns_from_table(encoded))


def test_the_hash_of_a_text_is_the_same_in_every_release():
    assert hash64(["merchant-1", ""]).tolist() == [GOLDEN_MERCHANT, GOLDEN_EMPTY]


GOLDEN_MERCHANT, GOLDEN_EMPTY = 421954993989401924, 13020603013274838756


def test_a_fragment_is_never_the_mark_of_an_empty_place():
    assert fragments(np.array([0x5_0000_0000, 7], np.uint64)).tolist() == [1, 7]


def test_a_missing_column_is_named():
    with pytest.raises(SchemaError, match="device_id"):
        columns_from_table(random_table(1, 5).drop_columns(["device_id"]))


@pytest.mark.parametrize("name", ["event_time", "card_id", "merchant_id", "category", "amount_minor", "currency"])
def test_a_null_where_a_value_must_be_is_named_with_its_row(name):
    table = table_of([transaction(0), transaction(1)])
    index = table.column_names.index(name)
    broken = table.set_column(index, name, pa.chunked_array([table[name].slice(0, 1), pa.nulls(1, table[name].type)]))
    with pytest.raises(SchemaError, match=rf"{name}.*row 1"):
        columns_from_table(broken)


def test_a_column_of_another_type_is_named():
    table = table_of([transaction(0)])
    index = table.column_names.index("amount_minor")
    with pytest.raises(SchemaError, match="amount_minor"):
        columns_from_table(table.set_column(index, "amount_minor", pa.array(["ten"])))


@pytest.mark.parametrize(
    "change", [{"amount_minor": "ten"}, {"event_time": None}, {"latitude": "north"}, {"card_id": None}, {"card_id": 7}]
)
def test_a_message_of_another_type_is_refused(change):
    messages = messages_of(table_of([transaction(0), transaction(1)]))
    messages[1].__dict__.update(change)
    with pytest.raises(MessageError, match="schema"):
        columns_from_messages(messages)


def test_a_message_without_an_attribute_is_refused():
    messages = messages_of(table_of([transaction(0)]))
    del messages[0].currency
    with pytest.raises(MessageError, match="currency"):
        columns_from_messages(messages)
