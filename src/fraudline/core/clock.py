"""Time: UTC and aware for people, integer microseconds since the epoch for machines."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US


_virtual: ContextVar[datetime | None] = ContextVar("_virtual", default=None)


def now() -> datetime:
    """The present time, UTC and aware; within :func:`clock_at` the time given there."""
    return _virtual.get() or datetime.now(UTC)


@contextmanager
def clock_at(moment: datetime) -> Iterator[None]:
    """A virtual clock that stands still at ``moment`` (aware): a simulation's, never production's."""
    token = _virtual.set(moment)
    try:
        yield
    finally:
        _virtual.reset(token)


def now_us() -> int:
    """The present time in microseconds since the epoch."""
    return to_us(now())


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime.

    >>> to_us(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (moment - EPOCH) // timedelta(microseconds=1)


_FIRST_US = to_us(datetime.min.replace(tzinfo=UTC))
LAST_US = to_us(datetime.max.replace(tzinfo=UTC))
"""The last moment of the year 9999."""


def from_us(microseconds: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch; of a moment beyond the calendar, the calendar's end."""
    return EPOCH + timedelta(microseconds=min(max(microseconds, _FIRST_US), LAST_US))


def day_us(day: date) -> int:
    """Microseconds since the epoch of midnight UTC that begins ``day``."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
