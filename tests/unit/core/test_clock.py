from datetime import UTC, date, datetime

from hypothesis import given
from hypothesis import strategies as st

from fraudline.core.clock import DAY_US, day_us, from_us, now, now_us, to_us


@given(st.integers(min_value=-(10**15), max_value=4 * 10**15))
def test_microseconds_survive_the_way_through_a_datetime(microseconds):
    assert to_us(from_us(microseconds)) == microseconds


def test_a_moment_beyond_the_calendar_is_its_end():
    assert from_us(2**62).year == 9999
    assert from_us(-(2**62)).year == 1


def test_a_day_begins_at_midnight_utc():
    assert from_us(day_us(date(2026, 3, 1))) == datetime(2026, 3, 1, tzinfo=UTC)
    assert day_us(date(2026, 3, 2)) - day_us(date(2026, 3, 1)) == DAY_US


def test_now_is_aware():
    assert now().utcoffset().total_seconds() == 0
    assert abs(now_us() - to_us(now())) < 60_000_000
