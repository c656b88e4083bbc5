"""The quick way recognises right input, gives what the careful way gives, and leaves everything else to it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudline.serve import quick
from fraudline.serve.errors import RequestError
from fraudline.serve.payload import parse_instances

NAMES = ("a", "b", "c")
VALUES = st.floats() | st.integers() | st.booleans() | st.none() | st.text(max_size=2) | st.just(10**400)
ROWS = st.dictionaries(st.sampled_from([*NAMES, "transaction_id", "d"]), VALUES, max_size=5)
FULL = st.fixed_dictionaries(dict.fromkeys(NAMES, st.floats(-1e30, 1e30) | st.integers(-5, 5)))


@given(st.lists(ROWS | FULL | st.lists(VALUES, max_size=3), max_size=4))
def test_what_passes_is_what_the_careful_way_gives(rows: list[Any]) -> None:
    body = {"instances": rows}
    found = quick.instances(body, NAMES)
    if found is not None:
        careful = parse_instances(body, NAMES)
        assert np.array_equal(found.features, careful.features)
        assert found.transaction_ids == careful.transaction_ids


@given(st.lists(FULL, min_size=1, max_size=4))
def test_objects_of_all_features_pass(rows: list[Any]) -> None:
    rows[0]["transaction_id"] = "t1"
    found = quick.instances({"instances": rows}, NAMES)
    assert found is not None
    assert found.transaction_ids == ("t1", *(None,) * (len(rows) - 1))


@pytest.mark.parametrize("value", [True, None, "1", float("nan"), float("inf"), 1e39, 10**400])
def test_a_wrong_value_is_left_to_who_names_it(value: Any) -> None:
    body = {"instances": [{"a": 1.0, "b": value, "c": 1.0}]}
    assert quick.instances(body, NAMES) is None
    with pytest.raises(RequestError, match=r"instances\[0\]\.b"):
        parse_instances(body, NAMES)


def test_numbers_are_flat_lists_of_json_numbers_only() -> None:
    assert quick.numbers([1, 2.5]).tolist() == [1.0, 2.5]  # type: ignore[union-attr]
    for wrong in ([], [True], [[1.0]], ["1"], [10**400], None, (1.0,)):
        assert quick.numbers(wrong) is None
