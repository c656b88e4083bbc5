import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fraudline.stream.numbers import rows_as_json

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(FLOATS, FLOATS, FLOATS), max_size=20))
@settings(max_examples=200)
def test_every_float32_comes_back_with_its_bits(rows: list[tuple[float, ...]]) -> None:
    values = np.array(rows, np.float32).reshape(-1, 3)
    read = np.array([json.loads(text) for text in rows_as_json(values)], np.float32).reshape(-1, 3)
    assert read.tobytes() == values.tobytes()


def test_numbers_of_every_size_come_back_with_their_bits_in_no_more_digits_than_needed() -> None:
    rng = np.random.default_rng(5)
    values = (rng.uniform(1, 10, (4_000, 25)) * 10.0 ** np.arange(-12, 13)).astype(np.float32)
    values *= rng.choice([-1, 1], values.shape).astype(np.float32)
    texts = rows_as_json(values)
    assert np.array([json.loads(text) for text in texts], np.float32).tobytes() == values.tobytes()
    assert max(len(text) for text in rows_as_json(values[:, 8:20])) < 12 * 13


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, b"[0]"), (-0.0, b"[-0.0]"), (1.0, b"[1]"), (-20.0, b"[-20]"), (0.1, b"[0.1]"), (37.34, b"[37.34]"),
     (1e-6, b"[0.000001]"), (0.001, b"[0.001]"), (999_999_936.0, b"[999999936]"), (16_777_216.0, b"[16777216]")],
)  # fmt: skip
def test_a_number_is_written_as_a_person_would(value: float, text: bytes) -> None:
    assert rows_as_json(np.array([[value]], np.float32)) == [text]


def test_no_rows_are_no_texts() -> None:
    assert rows_as_json(np.empty((0, 3), np.float32)) == []
