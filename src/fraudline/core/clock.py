"""Time: UTC and aware for people, integer microseconds since the epoch for machines."""

from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US


def now() -> datetime:
    """The present time, UTC and aware."""
    return datetime.now(UTC)


def now_us() -> int:
    """The present time in microseconds since the epoch."""
    return to_us(now())


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime.

    >>> to_us(datetime(1970, 1, 2, tzinfo=UTC))
    86400000000
    """
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=microseconds)


def day_us(day: date) -> int:
    """Microseconds since the epoch of midnight UTC that begins ``day``."""
    return to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))
