"""What the columns of a file to score hold: transactions, or the features of a model."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.errors import SchemaError
from fraudline.core.log import get_logger
from fraudline.data.importers import reading
from fraudline.data.importers.rows import UNKNOWN_CATEGORY, build_transactions
from fraudline.data.importers.source import Column
from fraudline.data.store import read_transactions
from fraudline.features.spec import FeatureSpec
from fraudline.steps.score_source import Chunk, chunks

log = get_logger(__name__)

_REQUIRED = ("event_time", "card_id", "merchant_id", "amount_minor", "currency", "channel")


def check_names(chunk: Chunk, spec: FeatureSpec) -> None:
    """Refuse a file that lacks a column of transactions.

    Raises:
        SchemaError: the column, or that it has neither transactions nor features.
    """
    present = chunk.names
    lacking = [name for name in _REQUIRED if name not in present]
    named = ", ".join(chunk.table.column_names)
    if not present & {*_REQUIRED, *spec.names}:
        raise SchemaError(
            f"{chunk.file} has neither the columns of transactions ({', '.join(_REQUIRED)}) nor features; "
            f"it has {named}.",
            "Import it (`fraudline data import table`), and score the folder that was written.",
        )
    if lacking and present & set(spec.names):
        lacking = [name for name in spec.names if name not in present]
    if lacking:
        raise SchemaError(f"{chunk.file} has no column {lacking[0]}; it has {named}.", "Give transactions.")


def feature_rows(chunk: Chunk, spec: FeatureSpec) -> NDArray[np.float32]:
    """The feature columns of a chunk, (n, d) float32 in the order of ``spec.names``.

    Raises:
        SchemaError: a column is missing, or a value is not a finite 32-bit number (says row and column).
    """
    matrix = np.empty((chunk.table.num_rows, len(spec.names)), np.float32)
    for j, name in enumerate(spec.names):
        given = chunk.column(name)
        values = reading.decimals(given)
        reading.refuse(given, np.abs(values) > np.finfo(np.float32).max, "a 32-bit number")
        matrix[:, j] = values
    return matrix


def transaction_rows(chunk: Chunk) -> pa.Table:
    """Rows of ``schema.TRANSACTIONS`` in the file's order; nullable columns may be missing.

    ``event_time`` is a timestamp, an ISO 8601 text (UTC without an offset), or whole microseconds since the epoch.

    Raises:
        SchemaError: a column is missing or a value is wrong (says row and column).
    """
    present, given = chunk.names, chunk.column
    amount = reading.whole_numbers(given("amount_minor"))
    reading.refuse(given("amount_minor"), amount < 0, "an amount that is not negative")
    optional: dict[str, Any] = {}
    for name in ("country", "device_id"):
        if name in present:
            optional[name] = reading.optional_strings(given(name))
    for name, bound in (("latitude", 90.0), ("longitude", 180.0)):
        if name in present:
            optional[name] = reading.optional_decimals(given(name), -bound, bound)
    table = build_transactions(
        transaction_id=ids(chunk),
        event_time_us=_times(given("event_time")),
        card_id=reading.strings(given("card_id")),
        merchant_id=reading.strings(given("merchant_id")),
        amount_minor=amount,
        channel=reading.channels(given("channel")),
        currency=reading.strings(given("currency"), "[A-Z]{3}", "an ISO 4217 code like EUR"),
        category=_categories(given("category")) if "category" in present else None,
        card_present=reading.booleans(given("card_present")) if "card_present" in present else None,
        optional=optional,
    )
    times = table["event_time"].cast(pa.int64()).to_numpy()
    if (np.diff(times) < 0).any():
        log.warning("score.order", file=str(chunk.file), note="rows are not in time order; they are taken as they come")
    return table


def all_transactions(source: Path) -> pa.Table:
    """The rows of a data set folder, or of a file as :func:`transaction_rows` gives them."""
    if source.is_dir():
        return read_transactions(source)
    return pa.concat_tables([transaction_rows(chunk) for chunk in chunks(source)])


def ids(chunk: Chunk) -> pa.Array:
    """The transactions' names, as text; ``row-N`` counted from 1 where the file gives them none."""
    if "transaction_id" in chunk.names:
        return reading.strings(chunk.column("transaction_id"))
    first = chunk.before + chunk.first + 1
    numbers = pa.array(np.arange(first, first + chunk.table.num_rows)).cast(pa.string())
    return pc.binary_join_element_wise("row", numbers, "-")


def _times(given: Column) -> NDArray[np.int64]:
    values = given.values
    numeric = pa.types.is_integer(values.type)
    if pa.types.is_string(values.type):
        first = next((text for text in values.to_pylist() if text is not None), "")
        numeric = first.lstrip("-").isdigit()
    return reading.whole_numbers(given) if numeric else reading.times(given)


def _categories(given: Column) -> NDArray[np.int16]:
    if given.values.null_count == len(given.values):
        return np.full(len(given.values), UNKNOWN_CATEGORY, np.int16)
    code = reading.whole_numbers(given)
    reading.refuse(given, (code < 0) | (code > 9999), "a category code from 0 to 9999")
    return code.astype(np.int16)
