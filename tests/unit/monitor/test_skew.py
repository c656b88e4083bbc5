"""What differs is named with its first row and, where something simple explains it, with its cause."""

import numpy as np
import pytest

from fraudline.monitor.skew import differences

NAMES = ("amount", "count", "flag")


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    columns = [rng.lognormal(3, 1, 500), rng.integers(0, 20, 500), rng.integers(0, 2, 500)]
    return np.column_stack(columns).astype(np.float32)


def test_equal_rows_have_no_difference_and_missing_equals_missing(rows):
    rows[3, 0] = np.nan
    assert differences(NAMES, rows.copy(), rows) == ()


def test_the_last_bit_counts(rows):
    logged = rows.copy()
    logged[7, 0] = np.nextafter(logged[7, 0], np.float32(np.inf))
    (found,) = differences(NAMES, logged, rows)
    assert (found.feature, found.rows, found.first) == ("amount", 1, 7)


def test_another_unit_is_told_by_its_ratio(rows):
    logged = rows.copy()
    logged[100:, 0] *= 100
    (found,) = differences(NAMES, logged, rows)
    assert (found.first, found.onwards) == (100, 1.0)
    assert found.hint == "it is 100 times as large: another unit"


def test_swapped_columns_name_each_other(rows):
    logged = rows[:, [1, 0, 2]]
    found = {each.feature: each.hint for each in differences(NAMES, logged, rows)}
    assert found == {"amount": "it is count: columns are swapped", "count": "it is amount: columns are swapped"}


def test_what_is_missing_or_stands_still_is_said(rows):
    logged = rows.copy()
    logged[50:, 0], logged[60:, 1] = np.nan, 7
    first, second = differences(NAMES, logged, rows)
    assert (first.feature, first.hint) == ("amount", "it is missing")
    assert (second.feature, second.hint) == ("count", "it stands still at 7")


def test_a_feature_that_stands_still_is_not_taken_for_another_that_does(rows):
    rows[:, 2] = 7
    logged = rows.copy()
    logged[:, 0] = 7
    (found,) = differences(NAMES, logged, rows)
    assert found.hint == "it stands still at 7"


def test_the_difference_that_began_first_comes_first_whatever_its_rows(rows):
    logged = rows.copy()
    logged[40, 2] += 1
    logged[50:, 0] += 1
    assert [each.feature for each in differences(NAMES, logged, rows)] == ["flag", "amount"]
