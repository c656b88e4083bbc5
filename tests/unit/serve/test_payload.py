"""Parsing of V1 rows and V2 tensors: equal results for equal rows, and a path for every mistake."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudline.features.table import TableSpec
from fraudline.serve import errors, payload
from fraudline.serve.table import encoded

NAMES = ("a", "b", "c")
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROWS = st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*NAMES, "x"]), inner, max_size=4),
    max_leaves=12,
)


@given(ROWS)
def test_objects_lists_and_tensors_of_the_same_rows_are_the_same_matrix(rows: list[list[float]]) -> None:
    wanted = np.array(rows, np.float32)
    objects = [dict(zip(NAMES, row, strict=True)) for row in rows]
    shape = [len(rows), 3]
    flat = [value for row in rows for value in row]
    assert np.array_equal(payload.parse_instances({"instances": rows}, NAMES).features, wanted)
    assert np.array_equal(payload.parse_instances({"instances": objects}, NAMES).features, wanted)
    assert np.array_equal(payload.parse_tensor(shape, rows, NAMES), wanted)
    assert np.array_equal(payload.parse_tensor(shape, flat, NAMES), wanted)
    assert np.array_equal(payload.parse_tensor(shape, wanted.ravel(), NAMES), wanted)


@given(JSON)
def test_any_json_is_either_finite_rows_or_a_request_error_with_a_field(body: Any) -> None:
    for candidate in (body, {"instances": body}, {"instances": [body]}):
        found = attempt(payload.parse_instances, candidate, NAMES)
        if isinstance(found, errors.RequestError):
            assert found.field
            assert str(found).startswith(found.field)
        else:
            assert np.isfinite(found.features).all()
            assert len(found.transaction_ids) == len(found.features)


@given(st.lists(st.integers(-2, 5) | st.none() | st.booleans(), max_size=3), JSON)
def test_any_shape_and_data_is_either_finite_rows_or_a_request_error(shape: list[Any], data: Any) -> None:
    found = attempt(payload.parse_tensor, shape, data, NAMES)
    if isinstance(found, errors.RequestError):
        assert found.field.startswith("inputs.features")
    else:
        assert found.shape == tuple(shape)
        assert np.isfinite(found).all()


def test_transaction_ids_travel_beside_the_features() -> None:
    rows = [{"a": 1, "b": 2, "c": 3, "transaction_id": "t1"}, [1, 2, 3]]
    assert payload.parse_instances({"instances": rows}, NAMES).transaction_ids == ("t1", None)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 3.5e38, -(10**400)])
def test_a_number_outside_float32_is_refused_with_row_and_feature(value: float) -> None:
    with pytest.raises(errors.RequestError, match=r"instances\[1\]\.b"):
        payload.parse_instances({"instances": [[1, 2, 3], {"a": 1, "b": value, "c": 3}]}, NAMES)


def test_the_number_of_rows_is_bounded() -> None:
    assert payload.parse_instances({"instances": [[1, 2, 3]] * 4}, NAMES, max_rows=4).features.shape == (4, 3)
    assert payload.parse_tensor([4, 3], np.zeros(12, np.float32), NAMES, max_rows=4).shape == (4, 3)
    with pytest.raises(errors.RequestError, match="5 rows, at most 4"):
        payload.parse_instances({"instances": [[1, 2, 3]] * 5}, NAMES, max_rows=4)
    with pytest.raises(errors.RequestError, match="5 rows, at most 4"):
        payload.parse_tensor([5, 3], np.zeros(15, np.float32), NAMES, max_rows=4)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(errors.RequestError) as caught:
        payload.parse_instances({"instances": [{"x" * 10_000: 1}]}, NAMES)
    assert len(str(caught.value)) < 200


def attempt(parse: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return parse(*arguments)
    except errors.RequestError as error:
        return error


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, "much"])
def test_a_raw_value_of_a_table_that_no_column_can_hold_is_refused(value: Any) -> None:
    columns = {"a": {"kind": "log"}, "b": {"kind": "category", "encode": ["rarity"]}}
    spec = TableSpec.parse({"kind": "table", "name": "t", "columns": columns, "least_rows": 1}, "test")
    spec = spec.learned(pa.table({"a": [1], "b": ["x"]}), Path("rows"))
    assert len(encoded({"instances": [{"a": 2**40, "b": "x"}]}, spec)["instances"][0]) == len(spec.names)
    with pytest.raises(errors.RequestError, match="instances: "):
        encoded({"instances": [{"a": value, "b": "x"}]}, spec)
