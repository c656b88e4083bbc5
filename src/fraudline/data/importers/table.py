"""Any CSV or parquet file, by a YAML mapping of its columns.

    name: my-bank
    separator: ";"                                       # of a CSV's fields; a comma when not said
    decimal: ","                                         # of numbers in texts; a point when not said
    columns:
      transaction_id: {column: id}
      event_time: {column: booked_at, format: "%d.%m.%Y %H:%M:%S", zone: Europe/Berlin}
      card_id: {column: card}
      merchant_id: {column: shop}
      amount_minor: {column: amount, unit: major}        # 12.34 EUR becomes 1234, 12 JPY stay 12
      currency: {constant: EUR}
      channel: {column: kind, values: {P: pos, W: ecommerce}}
    labels:
      is_fraud: {column: chargeback}
      label_time: {column: charged_back_at, unit: s}     # or  delay_days: 7

``event_time``, ``card_id``, ``merchant_id``, ``amount_minor``, ``currency`` and ``channel`` are required. Without
``transaction_id`` rows are named by their time, without ``category`` it is 5999, ``card_present`` follows the channel,
and the nullable columns are null. ``format`` is strptime's, ``unit`` of a time is s, ms or us since the epoch.
"""

from collections import Counter
from pathlib import Path
from typing import Any, Literal
from zoneinfo import available_timezones

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from fraudline.core.clock import DAY_US, now_us
from fraudline.core.log import get_logger
from fraudline.core.settings import Settings
from fraudline.data.importers import reading
from fraudline.data.importers.rows import UNKNOWN_CATEGORY, build_labels, build_transactions
from fraudline.data.importers.source import Column, Separator, checked_first, column, read_source
from fraudline.data.money import decimals_of
from fraudline.data.store import write_dataset

log = get_logger(__name__)

_CURRENCY = ("[A-Z]{3}", "an ISO 4217 code like EUR")
_NO_MARKS = str.maketrans("", "", "-:")
"""With its dashes a time has as many digits in a row as a card number."""
_COUNTRY = ("[A-Z]{2}", "an ISO 3166 code like DE")


class Origin(Settings):
    """Where a column comes from: ``column`` of the file, or ``constant``; ``values`` translates what is found."""

    column: str = ""
    constant: str | int | float | bool | None = None
    values: dict[str, str] = {}

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, values: Any) -> Any:
        """Numbers and truth values as texts of the file; what a bare ``yes`` was before YAML read it is not known."""
        if not isinstance(values, dict):
            return values
        if any(isinstance(found, bool) for found in values):
            message = 'put yes, no, on, off, true and false in quotes before the colon: {"yes": true}'
            raise ValueError(message)
        told = {key: str(each).lower() if isinstance(each, bool) else each for key, each in values.items()}
        return {str(key): str(each) if isinstance(each, int) else each for key, each in told.items()}

    @model_validator(mode="after")
    def _one_origin(self) -> "Origin":
        if bool(self.column) == (self.constant is not None):
            message = "give either column or constant"
            raise ValueError(message)
        return self


class Amount(Origin):
    """An amount: in ``minor`` units, or in ``major`` ones, with each row's currency's decimals or as many as said."""

    unit: Literal["minor", "major"] = "minor"
    decimals: int | None = Field(default=None, ge=0, le=4)


class Time(Origin):
    """A time: texts by ``format`` (ISO 8601 when empty) in ``zone``, or numbers in ``unit`` since the epoch."""

    format: str = ""
    unit: Literal["", "s", "ms", "us"] = ""
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            message = "give an IANA zone like Europe/Berlin"
            raise ValueError(message)
        return zone


class Columns(Settings):
    """The origin of each column of the transaction schema."""

    event_time: Time
    card_id: Origin
    merchant_id: Origin
    amount_minor: Amount
    currency: Origin
    channel: Origin
    transaction_id: Origin | None = None
    category: Origin | None = None
    card_present: Origin | None = None
    country: Origin | None = None
    latitude: Origin | None = None
    longitude: Origin | None = None
    device_id: Origin | None = None


class LabelColumns(Settings):
    """The origin of the labels; without ``label_time`` they arrive ``delay_days`` after their transaction."""

    is_fraud: Origin
    label_time: Time | None = None
    delay_days: float = Field(default=7.0, ge=0, le=3650)
    fraud_kind: Origin | None = None


class Mapping(Settings):
    """A whole mapping file."""

    separator: Separator = ","
    decimal: Literal[".", ","] = "."
    columns: Columns
    labels: LabelColumns | None = None
    name: str = ""


@checked_first()
def import_table(source: Path, folder: Path, *, mapping: Path) -> dict[str, Any]:
    """Import a file by a mapping of its columns.

    Args:
        source: CSV or parquet.
        folder: the data set folder, replaced as a whole.
        mapping: YAML file, see the module's text.

    Returns:
        The summary written to ``dataset.json``.

    Raises:
        UsageError: the mapping is wrong.
        SchemaError: a column or value of the file is wrong; the folder stays as it was.
    """
    chosen = Mapping.load(mapping)
    table = read_source(source, chosen.separator)
    give = _Giver(source, table, chosen)
    origin = chosen.columns
    event_time = _times(give, origin.event_time)
    ids = _identifiers(give, origin.transaction_id) if origin.transaction_id else _names(event_time)
    currency = reading.strings(give(origin.currency), *_CURRENCY)
    transactions = build_transactions(
        transaction_id=ids,
        event_time_us=event_time,
        card_id=reading.strings(give(origin.card_id)),
        merchant_id=reading.strings(give(origin.merchant_id)),
        amount_minor=_amounts(give, origin.amount_minor, currency),
        channel=reading.channels(give(origin.channel)),
        currency=currency,
        category=_categories(give, origin.category),
        card_present=reading.booleans(give(origin.card_present)) if origin.card_present else None,
        optional=_optional(give, origin),
    )
    labels = _labels(give, chosen.labels, ids, event_time)
    return write_dataset(folder, transactions, labels, {"name": chosen.name or reading.plain_name(source.stem)})


class _Giver:
    """Columns of one file, by origin."""

    def __init__(self, source: Path, table: pa.Table, mapping: Mapping) -> None:
        self.source, self.table, self.mapping = source, table, mapping

    def __call__(self, origin: Origin) -> Column:
        if origin.column:
            found = column(self.source, self.table, origin.column)
            found = found._replace(separator=self.mapping.separator, decimal=self.mapping.decimal)
        else:
            value = pa.array([origin.constant]).take(pa.array(np.zeros(self.table.num_rows, dtype=np.int64)))
            found = Column(self.source, "(constant)", pa.chunked_array([value]))
        return reading.translated(found, origin.values) if origin.values else found


def _names(event_time: npt.NDArray[np.int64]) -> pa.Array:
    """Ids of rows that have none: their time, and the place among the rows of that time, which keeps the file's order.

    A number alone would name rows of two files alike, and a history would end where such a file seems to begin.
    """
    places: Counter[int] = Counter()
    names = []
    for at, text in zip(event_time.tolist(), np.datetime_as_string(event_time.astype("M8[us]")).tolist(), strict=True):
        names.append(f"t{text.translate(_NO_MARKS)}n{places[at]:06d}")
        places[at] += 1
    return pa.array(names, pa.string())


def _identifiers(give: _Giver, origin: Origin) -> pa.Array:
    given = give(origin)
    ids = reading.strings(given)
    reading.unique(given, ids.to_pylist())
    return ids


def _times(give: _Giver, origin: Time) -> npt.NDArray[np.int64]:
    return reading.times(give(origin), pattern=origin.format, unit=origin.unit, zone=origin.zone)


def _amounts(give: _Giver, origin: Amount, currency: pa.Array) -> npt.NDArray[np.int64]:
    if origin.unit == "minor":
        return reading.amounts(give(origin))
    known = decimals_of(currency.to_pylist()) if origin.decimals is None else np.full(len(currency), origin.decimals)
    return reading.amounts(give(origin), known)


def _categories(give: _Giver, origin: Origin | None) -> npt.NDArray[np.int16]:
    if origin is None:
        return np.full(give.table.num_rows, UNKNOWN_CATEGORY, dtype=np.int16)
    given = give(origin)
    code = reading.whole_numbers(given)
    reading.refuse(given, (code < 0) | (code > 9999), "a category code from 0 to 9999")
    return code.astype(np.int16)


def _optional(give: _Giver, origin: Columns) -> dict[str, pa.Array]:
    found: dict[str, pa.Array] = {}
    if origin.country:
        found["country"] = reading.optional_strings(give(origin.country), *_COUNTRY)
    if origin.device_id:
        found["device_id"] = reading.optional_strings(give(origin.device_id))
    if origin.latitude:
        found["latitude"] = reading.optional_decimals(give(origin.latitude), -90, 90)
    if origin.longitude:
        found["longitude"] = reading.optional_decimals(give(origin.longitude), -180, 180)
    return found


def _labels(give: _Giver, origin: LabelColumns | None, ids: pa.Array, event_time: npt.NDArray[np.int64]) -> pa.Table:
    if origin is None:
        return build_labels(
            transaction_id=ids.slice(0, 0),
            label_time_us=np.empty(0, dtype=np.int64),
            fraud_kind=pa.nulls(0, pa.string()),
        )
    frauds = np.flatnonzero(reading.booleans(give(origin.is_fraud)))
    rows = pa.array(frauds)
    if origin.label_time:
        when = origin.label_time
        given = give(when).only(frauds)
        label_time = reading.times(given, pattern=when.format, unit=when.unit, zone=when.zone)
    else:
        label_time = event_time[frauds] + int(origin.delay_days * DAY_US)
    _warn_of_labels_to_come(label_time)
    kind = reading.optional_strings(give(origin.fraud_kind)).take(rows) if origin.fraud_kind else None
    return build_labels(
        transaction_id=ids.take(rows),
        label_time_us=label_time,
        fraud_kind=kind if kind is not None else pa.nulls(len(frauds), pa.string()),
    )


def _warn_of_labels_to_come(label_time: npt.NDArray[np.int64]) -> None:
    """Say how many frauds that the file knows are dated after the present."""
    to_come = int(np.count_nonzero(label_time > now_us()))
    if to_come:
        note = "until then these frauds are taken as not reported: name a column of label_time, or shorten delay_days"
        log.warning("import.labels_to_come", rows=to_come, note=note)
