"""The Fraud Detection Handbook's protocol: which rows are trained on, and which week is scored.

A week is scored by a model of known normals from 35 days, as the file allows, to seven days before its first day, with
the labels that had arrived on the morning of that day. As in the book, cards known to be compromised leave the test:
those with a fraud in the week before the delay, and from each test day on those whose fraud of the delay has been
reported (Le Borgne et al., Reproducible Machine Learning for Credit Card Fraud Detection, chapters 3 and 4).
"""

import os
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, day_us
from fraudline.core.errors import DataError
from fraudline.data.splits import DayRange, Split

FILE = "handbook_2018-06-11_08-14_compact.parquet"
SHARED = Path(os.environ.get("FRAUDLINE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
TEST_START = date(2018, 8, 8)
VALIDATION_START = date(2018, 7, 25)
SETTINGS_BEFORE = date(2018, 7, 18)
"""Settings are fixed on days before this one."""

ROLES = ("choice", "validation", "test")
DELAY = 7
TEST_DAYS = 7
COMPROMISED_DAYS = 7  # the book's training week, whose defrauded cards are known and leave the test
HISTORY_DAYS = 35
WARMUP_DAYS = 7
LEAST_TRAIN_DAYS = 14
HELD_OUT_DAYS = 4  # the last training days: early stopping, residual covariance, tails

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Cut:
    """The rows of one week, as masks over the whole file, bool (n,).

    Attributes:
        split: its ranges.
        normal: known normals to fit on.
        later_normal: known normals of the last training days.
        labelled: every training row whose label is known on the morning of the first test day.
        test: the rows that are scored.
    """

    split: Split
    normal: Bools
    later_normal: Bools
    labelled: Bools
    test: Bools


def role(test_start: date) -> str:
    """What a week is for: ``choice`` (settings may look at it), ``validation`` (reported, not judged) or ``test``."""
    if test_start == VALIDATION_START:
        return "validation"
    return "choice" if test_start < SETTINGS_BEFORE else "test"


def weeks(first: date, last: date) -> list[date]:
    """First days of the successive weeks, counted back from :data:`TEST_START` and on to the end of the file.

    Args:
        first: first day of the file.
        last: its last day, whole.
    """
    earliest = first + timedelta(days=WARMUP_DAYS + LEAST_TRAIN_DAYS + DELAY)
    span = range(-60, 61)
    starts = (TEST_START + timedelta(days=TEST_DAYS * k) for k in span)
    return [day for day in starts if day >= earliest and day + timedelta(days=TEST_DAYS) <= last + timedelta(days=1)]


def split_of(first: date, last: date, test_start: date, train_start: date | None = None) -> Split:
    """The ranges of one week of a file that reaches from ``first`` to ``last``.

    Raises:
        DataError: the file does not reach the dates.
    """
    train_end = test_start - timedelta(days=DELAY)
    start = train_start or max(train_end - timedelta(days=HISTORY_DAYS), first + timedelta(days=WARMUP_DAYS))
    test = DayRange(test_start, test_start + timedelta(days=TEST_DAYS))
    held_out = max(1, min(HELD_OUT_DAYS, (train_end - start).days // 2))
    middle = train_end - timedelta(days=held_out)
    if start >= middle or start < first or test.end > last + timedelta(days=1):
        raise DataError(
            f"The file has {first} to {last}; training {start} to {train_end} and the test week from {test_start} do "
            "not fit.",
            "Correct --train-start and --test-start.",
        )
    return Split(DayRange(first, start), DayRange(start, middle), DayRange(middle, train_end), test, DELAY)


def cut(table: pa.Table, split: Split) -> Cut:
    """The rows of a week.

    Args:
        table: ``event_time``, ``card_id``, ``is_fraud`` and ``label_time`` of the whole file.
        split: its ranges.
    """
    times = pc.cast(table["event_time"], pa.int64()).to_numpy()
    frauds = table["is_fraud"].to_numpy(zero_copy_only=False)
    labelled = pc.fill_null(pc.cast(table["label_time"], pa.int64()), 0).to_numpy()
    normal = split.known_normal(times, labelled, frauds)
    training = split.train.mask(times) | split.validation.mask(times)
    return Cut(
        split,
        split.train.mask(times) & normal,
        split.validation.mask(times) & normal,
        training & (normal | (frauds & (labelled < split.test.start_us))),
        split.test.mask(times) & ~compromised(table, times, frauds, split),
    )


def compromised(table: pa.Table, times: NDArray[np.int64], frauds: Bools, split: Split) -> Bools:
    """Rows of the test week whose card is known to be compromised on the morning of their day."""
    cards = table["card_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    never = np.iinfo(np.int64).max
    day = times // DAY_US
    known_from = np.full(int(cards.max()) + 1, never)
    opening = day_us(split.test.start) // DAY_US
    counted = frauds & (day >= opening - DELAY - COMPROMISED_DAYS)
    # a fraud of day d is known on the morning of d + delay + 1, one of the week before the delay when the test begins
    np.minimum.at(known_from, cards[counted], np.maximum(day[counted] + DELAY + 1, opening))
    known: Bools = day >= known_from[cards]
    return known
