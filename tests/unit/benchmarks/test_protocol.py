"""The protocol of the published benchmark, by hand, on rows that need no download."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.quality.protocol import compromised, role, split_of, weeks
from fraudline.core.clock import DAY_US, HOUR_US, day_us
from fraudline.core.errors import DataError

FIRST, TEST = date(2018, 6, 11), date(2018, 8, 8)
LAST = TEST + timedelta(days=6)


def removed(fraud_days_before_the_test: int) -> list[bool]:
    """For each day of the test week whether a card with one fraud, so many days before it, leaves the test."""
    split = split_of(FIRST, LAST, TEST, None)
    opening = day_us(TEST)
    fraud = opening - fraud_days_before_the_test * DAY_US + 12 * HOUR_US
    times = np.array([fraud, *(opening + day * DAY_US + HOUR_US for day in range(7))])
    frauds = np.array([True] + [False] * 7)
    return compromised(pa.table({"card_id": ["c"] * 8}), times, frauds, split)[1:].tolist()


@pytest.mark.parametrize(
    ("before", "first_day_removed"),
    [
        (15, 7),  # before the book's training week: forgotten
        (14, 0),  # its first day
        (8, 0),  # its last day
        (7, 1),  # the first day of the delay is reported on the morning of the second test day
        (2, 6),
        (1, 7),  # reported when the week is over
        (0, 7),  # a fraud of the test week itself
    ],
)
def test_a_card_leaves_the_test_on_the_morning_its_fraud_is_known(before: int, first_day_removed: int) -> None:
    assert removed(before) == [day >= first_day_removed for day in range(7)]


def test_other_cards_stay_in_the_test() -> None:
    split = split_of(FIRST, LAST, TEST, None)
    times = np.array([day_us(TEST) - 8 * DAY_US, day_us(TEST)])

    known = compromised(pa.table({"card_id": ["a", "b"]}), times, np.array([True, False]), split)

    assert not known[1]


def test_training_ends_one_label_delay_before_the_test() -> None:
    split = split_of(FIRST, LAST, TEST, date(2018, 6, 20))

    assert split.train.start == date(2018, 6, 20)
    assert split.train.end == split.validation.start == date(2018, 7, 28)
    assert split.validation.end == date(2018, 8, 1)
    assert split.test.to_dict() == {"start": "2018-08-08", "end": "2018-08-15"}


@pytest.mark.parametrize(
    ("train_start", "test_start"),
    [
        (FIRST - timedelta(days=1), TEST),  # before the file
        (TEST - timedelta(days=8), TEST),  # a single day: none is left to hold out
        (None, TEST + timedelta(days=1)),  # the week reaches beyond the file
    ],
)
def test_weeks_that_the_file_does_not_hold_are_refused(train_start: date | None, test_start: date) -> None:
    with pytest.raises(DataError, match="do not fit"):
        split_of(FIRST, LAST, test_start, train_start)


def test_the_slices_weeks_are_counted_back_from_the_test_week_and_each_has_one_use() -> None:
    found = weeks(FIRST, LAST)

    assert [day.isoformat()[5:] for day in found] == ["07-11", "07-18", "07-25", "08-01", "08-08"]
    assert [role(day) for day in found] == ["choice", "test", "validation", "test", "test"]
    assert all((split_of(FIRST, LAST, day).validation.end - FIRST).days >= 21 for day in found), "warm-up and training"
    assert weeks(FIRST, LAST + timedelta(days=14))[-1] == TEST + timedelta(days=14), "a longer file gives more weeks"
