"""The forms that a time comes in."""

import pyarrow as pa
import pytest

from fraudline.data.schema import times_us

US = 1_767_571_200_000_000


@pytest.mark.parametrize(
    "values",
    [
        pa.array([US, US + 1_000_000]),
        pa.array([str(US), str(US + 1_000_000)]),
        pa.array(["2026-01-05T00:00:00Z", "2026-01-05T01:00:01+01:00"]),
        pa.array([US // 1_000, US // 1_000 + 1_000]).cast(pa.timestamp("ms")),
        pa.array([US, US + 1_000_000]).cast(pa.timestamp("us", tz="Europe/Berlin")),
    ],
    ids=["microseconds", "their texts", "ISO 8601", "milliseconds without a zone", "with a zone"],
)
def test_a_time_is_the_same_in_every_form_that_files_of_decisions_have(values: pa.Array) -> None:
    assert times_us(pa.chunked_array([values])).tolist() == [US, US + 1_000_000]


def test_no_time_is_no_error() -> None:
    assert times_us(pa.chunked_array([pa.array([], pa.string())])).tolist() == []
