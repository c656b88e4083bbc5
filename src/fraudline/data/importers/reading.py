"""Values of a foreign file's columns: checked and in the schema's units, each error naming the row."""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fraudline.core.clock import SECOND_US, day_us, to_us
from fraudline.core.log import get_logger
from fraudline.data.importers.source import Column
from fraudline.data.schema import CHANNELS

log = get_logger(__name__)

_UNITS_US = {"s": SECOND_US, "ms": 1000, "us": 1}
EARLIEST, LATEST = date(2000, 1, 1), date(2100, 1, 1)
"""Times are in [EARLIEST, LATEST), as in the stream; others are seconds taken for milliseconds, or the like."""
LARGEST_AMOUNT_MINOR = 1_000_000_000_000
"""Above it a value is a mistake, as in the stream."""
TRANSLATE = "Correct the row, or translate the value by `values` in the mapping of `fraudline data import table`"
_TRUE = ("1", "true", "t", "yes", "y", "1.0")
_FALSE = ("0", "false", "f", "no", "n", "0.0")


def whole_numbers(source: Column, action: str = "Correct the row") -> npt.NDArray[np.int64]:
    """Integers (n,) int64; a float that is whole passes. ``action``: what an error advises."""

    def convert(values: pa.ChunkedArray) -> pa.ChunkedArray:
        numbers = _numbers(source, values) if pa.types.is_string(values.type) else values
        return numbers.cast(pa.int64())

    return _filled(source, convert, "a whole number", action)


def decimals(source: Column, action: str = "Correct the row") -> npt.NDArray[np.float64]:
    """Finite numbers (n,) float64. ``action``: what an error advises."""
    numbers: npt.NDArray[np.float64] = _filled(source, lambda values: _numbers(source, values), "a number", action)
    refuse(source, ~np.isfinite(numbers), "a finite number")
    return numbers


def _numbers(source: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers (n,) float64; in texts with a decimal comma a point is no part of a number, thousands are not grouped."""
    if source.decimal != "." and pa.types.is_string(values.type):
        values = pc.replace_substring(pc.replace_substring(values, ".", "?"), source.decimal, ".")
    return values.cast(pa.float64())


def amounts(source: Column, places: int | npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    """Amounts (n,) int64 in minor units.

    Args:
        source: whole minor units, or with ``places`` amounts in the currency's own unit.
        places: decimal digits of the currency, or (n,) of each row's.

    Raises:
        SchemaError: one is negative, above :data:`LARGEST_AMOUNT_MINOR`, or has more decimals than its currency.
    """
    if places is None:
        minor: npt.NDArray[Any] = whole_numbers(source, "Say `unit: major` in the mapping, or correct the row")
    else:
        with np.errstate(over="ignore", invalid="ignore"):  # one beyond every float is refused below
            exact = decimals(source, "Say `decimal` in the mapping, or correct the row") * 10.0 ** np.asarray(places)
            minor = np.round(exact)
            finer = np.abs(exact - minor) > 1e-6 * np.maximum(np.abs(exact), 1.0)
        if finer.any():
            row = int(np.argmax(finer))
            digits = np.broadcast_to(places, minor.shape)[row]
            raise source.error(row, f"at most {digits} decimals", "Round it, or set the mapping's `decimals`")
    refuse(source, minor < 0, "an amount that is not negative")
    refuse(source, minor > LARGEST_AMOUNT_MINOR, f"an amount up to {LARGEST_AMOUNT_MINOR:,} minor units")
    return minor.astype(np.int64)


def since(source: Column, values: npt.NDArray[Any], unit_us: int = 1, origin_us: int = 0) -> npt.NDArray[np.int64]:
    """Microseconds since the epoch (n,), int64, of numbers that count ``unit_us`` from ``origin_us``.

    Raises:
        SchemaError: one is outside [:data:`EARLIEST`, :data:`LATEST`).
    """
    with np.errstate(over="ignore"):
        moments = origin_us + np.round(values.astype(np.float64) * unit_us)  # whole numbers below 2**53: exact
    inside = (moments >= day_us(EARLIEST)) & (moments < day_us(LATEST))
    refuse(source, ~inside, f"a time from {EARLIEST.year} to {LATEST.year}")
    return moments.astype(np.int64)


def optional_decimals(source: Column, low: float, high: float) -> pa.Array:
    """Numbers in ``[low, high]`` or null: float32."""
    expected = f"a number from {low:g} to {high:g} or nothing"
    numbers = converted(source, lambda values: _numbers(source, values), expected)
    inside = pc.and_(pc.greater_equal(numbers, low), pc.less_equal(numbers, high))
    refuse(source, ~pc.fill_null(inside, True).to_numpy(), expected)
    return pc.cast(numbers, pa.float32()).combine_chunks()


def strings(source: Column, pattern: str = "", expected: str = "a text") -> pa.Array:
    """Texts (n,), whole numbers written without decimals, none empty; each matches ``pattern``."""
    texts = optional_strings(source, pattern, expected)
    refuse(source, texts.is_null().to_numpy(zero_copy_only=False), expected)
    return texts


def optional_strings(source: Column, pattern: str = "", expected: str = "a text or nothing") -> pa.Array:
    """Texts (n,) or null; each matches ``pattern``."""
    texts = converted(source, lambda values: values.cast(pa.string()), expected)
    if pattern:
        fits = pc.match_substring_regex(texts, f"^(?:{pattern})$")
        refuse(source, ~pc.fill_null(fits, True).to_numpy(), expected)
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def translated(source: Column, values: dict[str, str]) -> Column:
    """The column with each value replaced by its translation.

    Raises:
        SchemaError: a value has no translation.
    """
    texts = optional_strings(source)
    place = pc.index_in(texts, value_set=pa.array(list(values)))
    unknown = pc.and_(place.is_null(), pc.is_valid(texts)).to_numpy(zero_copy_only=False)
    if unknown.any():
        row = int(np.argmax(unknown))
        action = "Add it to the column's `values` in the mapping, or correct the row"
        raise source.error(row, f"one of {', '.join(values)}", action)
    return source._replace(values=pa.chunked_array([pa.array(list(values.values())).take(place)]))


def booleans(source: Column) -> npt.NDArray[np.bool_]:
    """Truth values (n,): booleans, or 1/0, true/false, yes/no."""
    texts = pc.utf8_lower(optional_strings(source))
    known = pc.is_in(texts, value_set=pa.array(_TRUE + _FALSE))
    refuse(source, ~known.to_numpy(zero_copy_only=False), "true or false", TRANSLATE)
    result: npt.NDArray[np.bool_] = pc.is_in(texts, value_set=pa.array(_TRUE)).to_numpy(zero_copy_only=False)
    return result


def channels(source: Column) -> pa.Array:
    """Texts (n,) of ``schema.CHANNELS``."""
    texts, expected = optional_strings(source), f"one of {', '.join(CHANNELS)}"
    refuse(source, ~pc.is_in(texts, value_set=pa.array(CHANNELS)).to_numpy(zero_copy_only=False), expected, TRANSLATE)
    return texts


def times(source: Column, *, pattern: str = "", unit: str = "", zone: str = "UTC") -> npt.NDArray[np.int64]:
    """Microseconds since the epoch (n,), int64.

    Args:
        source: timestamps, texts, or numbers.
        pattern: strptime pattern of texts; ISO 8601 when empty.
        unit: ``s``, ``ms`` or ``us`` since the epoch, for numbers.
        zone: IANA zone of times that carry no offset. Such times in the hour that the end of summer time repeats are
            taken as the earlier hour, those in the hour that its beginning leaves out as if the clock had gone on, and
            warnings count them.

    Raises:
        SchemaError: a value is no time, or outside [:data:`EARLIEST`, :data:`LATEST`).
    """
    if unit:
        return since(source, decimals(source), _UNITS_US[unit])
    if pa.types.is_timestamp(source.values.type):

        def convert(values: pa.ChunkedArray) -> pa.ChunkedArray:
            stamps = values if values.type.tz else _in_zone(source, values, zone)
            return stamps.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())

        return since(source, _filled(source, convert, "a time in whole microseconds"))
    texts = strings(source, expected="a time")
    return since(source, _parse_times(source, texts, pattern, ZoneInfo(zone)))


def _in_zone(source: Column, values: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    earlier = pc.assume_timezone(values, zone, ambiguous="earliest", nonexistent="earliest")
    twice = pc.not_equal(earlier, pc.assume_timezone(values, zone, ambiguous="latest", nonexistent="earliest"))
    never = pc.not_equal(earlier, pc.assume_timezone(values, zone, ambiguous="earliest", nonexistent="latest"))
    _warn_of_summer_time(source, pc.sum(twice).as_py() or 0, pc.sum(never).as_py() or 0)
    day = pa.scalar(timedelta(days=1), pa.duration(values.type.unit))
    before = pc.assume_timezone(pc.subtract(values, day), zone, ambiguous="earliest", nonexistent="earliest")
    return pc.if_else(never, pc.add(before, day), earlier)


def _warn_of_summer_time(source: Column, twice: int, never: int) -> None:
    """Say how many rows lie in the hour that comes twice, and in the one that does not come."""
    if twice:
        note = "the hour comes twice as summer time ends: times without an offset are taken as the earlier"
        log.warning("import.repeated_hour", column=source.name, rows=twice, note=note)
    if never:
        note = "summer time leaves this hour out: look whether the mapping's zone is that of the file"
        log.warning("import.missing_hour", column=source.name, rows=never, note=note)


def _parse_times(source: Column, texts: pa.Array, pattern: str, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    result = np.empty(len(texts), dtype=np.int64)
    twice = never = 0
    for row, text in enumerate(texts.to_pylist()):
        try:
            moment = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)  # noqa: DTZ007
        except ValueError as error:
            action = "Give the mapping a `format` of strptime's codes, as %d.%m.%Y %H:%M:%S, or correct the row"
            raise source.error(row, f"a time like {pattern or '2026-01-31T12:30:00+00:00'}", action) from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
            first, second = _offset(moment), _offset(moment.replace(fold=1))
            twice, never = twice + (first > second), never + (first < second)
        result[row] = to_us(moment)
    _warn_of_summer_time(source, twice, never)
    return result


def _offset(moment: datetime) -> timedelta:
    return moment.utcoffset() or timedelta()


def unique(source: Column, values: Iterable[Any]) -> None:
    """Refuse a value that was there before.

    Raises:
        SchemaError: naming the second row.
    """
    seen: set[Any] = set()
    for row, value in enumerate(values):
        if value in seen:
            raise source.error(row, "a value that no earlier row has")
        seen.add(value)


def refuse(source: Column, wrong: npt.NDArray[np.bool_], expected: str, action: str = "Correct the row") -> None:
    """Raise for the first row where ``wrong`` (n,) holds.

    Raises:
        SchemaError: naming that row.
    """
    if wrong.any():
        raise source.error(int(np.argmax(wrong)), expected, action)


def _filled(
    source: Column, convert: Callable[[pa.ChunkedArray], Any], expected: str, action: str = "Correct the row"
) -> npt.NDArray[Any]:
    if source.values.null_count:
        refuse(source, source.values.is_null().to_numpy(), expected)
    result: npt.NDArray[Any] = converted(source, convert, expected, action).to_numpy()
    return result


def converted(
    source: Column, convert: Callable[[pa.ChunkedArray], Any], expected: str, action: str = "Correct the row"
) -> Any:
    """What ``convert`` makes of a column, nulls as it takes them.

    Raises:
        SchemaError: naming the first row that it cannot take.
    """
    try:
        return convert(source.values)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise source.error(_first_failure(source.values, convert), expected, action) from error


def _first_failure(values: pa.ChunkedArray, convert: Callable[[pa.ChunkedArray], Any]) -> int:
    """Index of the first value that cannot be converted, by bisection."""
    good, bad = 0, len(values)
    while bad - good > 1:
        middle = (good + bad) // 2
        try:
            convert(values.slice(good, middle - good))
            good = middle
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            bad = middle
    return good


def plain_name(name: str) -> str:
    """A file's stem as a data set name: lower case, digits and dashes.

    >>> plain_name("My Bank_2026")
    'my-bank-2026'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "imported"
