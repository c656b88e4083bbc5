"""Time splits."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudline.core.clock import DAY_US, day_us
from fraudline.core.errors import DataError, UsageError
from fraudline.data.params import SplitParams
from fraudline.data.splits import DayRange, Split

FIRST = date(2026, 1, 5)


def split_of(days: int = 90, delay: int = 7, **lengths: int) -> Split:
    return Split.of(FIRST, FIRST + timedelta(days=days), SplitParams(**lengths), delay)


def test_the_default_on_ninety_days_is_as_documented() -> None:
    split = split_of()

    assert [r.days for r in (split.warmup, split.train, split.validation, split.test)] == [21, 38, 10, 14]
    assert (split.test.start - split.validation.end).days == 7
    assert split.test.end == FIRST + timedelta(days=90)


@given(st.integers(60, 400), st.integers(0, 12), st.integers(0, 10), st.integers(1, 10), st.integers(1, 10))
def test_ranges_follow_one_another_and_the_delay_lies_before_the_test(
    days: int, delay: int, warmup: int, validation: int, test: int
) -> None:
    split = split_of(days, delay, warmup_days=warmup, validation_days=validation, test_days=test)

    assert split.warmup.start == FIRST
    assert split.warmup.end == split.train.start
    assert split.train.end == split.validation.start
    assert split.validation.end + timedelta(days=delay) == split.test.start
    assert split.warmup.days + split.train.days + split.validation.days + delay + split.test.days == days


def test_too_few_days_are_refused_with_the_number_needed() -> None:
    with pytest.raises(DataError, match="30 days, the time splits need 59"):
        split_of(30)


def test_a_range_is_half_open() -> None:
    days = DayRange(FIRST, FIRST + timedelta(days=1))
    times = np.array([day_us(FIRST) - 1, day_us(FIRST), day_us(FIRST) + DAY_US - 1, day_us(FIRST) + DAY_US])

    assert days.mask(times).tolist() == [False, True, True, False]
    assert FIRST in days
    assert days.end not in days


def test_known_normals_are_matured_and_not_reported_by_then() -> None:
    split = split_of()
    now = day_us(split.test.start)
    old, young = now - 8 * DAY_US, now - 6 * DAY_US
    event = np.array([old, young, old, old])
    label = np.array([0, 0, now - DAY_US, now + DAY_US])
    fraud = np.array([False, False, True, True])

    # a normal; too young; a reported fraud; a fraud that is reported tomorrow, which nobody can know today
    assert split.known_normal(event, label, fraud).tolist() == [True, False, False, True]


def test_a_split_is_written_as_dates() -> None:
    written = split_of().to_dict()

    assert written["test"] == {"start": "2026-03-22", "end": "2026-04-05"}
    assert written["label_delay_days"] == 7


def test_a_rolling_window_trains_on_the_newest_days_and_leaves_the_later_ranges_alone():
    first, end = date(2026, 1, 1), date(2026, 4, 1)
    whole = Split.of(first, end, SplitParams(), 7)
    rolling = Split.of(first, end, SplitParams(train_days=20), 7)
    assert (rolling.train.days, rolling.train.end) == (20, whole.train.end)
    assert (rolling.validation, rolling.test) == (whole.validation, whole.test)
    assert Split.of(first, end, SplitParams(train_days=1000), 7) == whole


def test_a_rolling_window_shorter_than_what_training_needs_is_not_blamed_on_the_data():
    assert split_of(300, train_days=7).train.days == 7
    with pytest.raises(UsageError, match=r"split.train_days is 6, and split.min_train_days 7\."):
        split_of(300, train_days=6)
