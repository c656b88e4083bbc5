"""The Fraud Detection Handbook's simulated transactions.

Columns ``TX_DATETIME`` (or ``TX_TIME_SECONDS``), ``CUSTOMER_ID``, ``TERMINAL_ID``, ``TX_AMOUNT`` (or
``TX_AMOUNT_CENTS``) and ``TX_FRAUD_SCENARIO`` (or ``TX_FRAUD``); ``TRANSACTION_ID`` is used when it is there. A card is
a customer, a merchant a terminal, and the fraud kind the scenario. The source knows no category, country, place,
device or currency: category is 5999, the channel ``pos`` without a position, the currency EUR.
"""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fraudline.core.clock import DAY_US, SECOND_US, day_us
from fraudline.core.errors import SchemaError
from fraudline.data.importers.reading import amounts, refuse, since, times, unique, whole_numbers
from fraudline.data.importers.rows import build_labels, build_transactions
from fraudline.data.importers.source import Column, checked_first, column, read_source
from fraudline.data.store import write_dataset

START = date(2018, 4, 1)
"""The day from which TX_TIME_SECONDS counts."""


@checked_first()
def import_handbook(source: Path, folder: Path, *, label_delay_days: float = 7.0) -> dict[str, Any]:
    """Import a file of the Handbook, or its compact form.

    Args:
        source: CSV or parquet.
        folder: the data set folder, replaced as a whole.
        label_delay_days: days from a fraud to its label; the book's protocol has 7.

    Returns:
        The summary written to ``dataset.json``.

    Raises:
        SchemaError: a column or value is wrong; the folder stays as it was.
    """
    table = read_source(source)
    names = set(table.column_names)
    event_time = _times(source, table)
    n = len(event_time)
    if "TRANSACTION_ID" in names:
        given = column(source, table, "TRANSACTION_ID")
        number = whole_numbers(given)
        unique(given, number.tolist())
    else:
        number = np.arange(n, dtype=np.int64)
    amount = _amounts(source, table)
    card = _identifiers(column(source, table, "CUSTOMER_ID"))
    merchant = _identifiers(column(source, table, "TERMINAL_ID"))
    scenario = _scenarios(source, table)
    ids = pa.array([f"t{value:09d}" for value in number.tolist()])
    transactions = build_transactions(
        transaction_id=ids,
        event_time_us=event_time,
        card_id=pa.array([f"c{value:05d}" for value in card.tolist()]),
        merchant_id=pa.array([f"m{value:05d}" for value in merchant.tolist()]),
        amount_minor=amount,
        channel="pos",
    )
    frauds = np.flatnonzero(scenario)
    labels = build_labels(
        transaction_id=ids.take(pa.array(frauds)),
        label_time_us=event_time[frauds] + int(label_delay_days * DAY_US),
        fraud_kind=pa.array([f"scenario_{value}" for value in scenario[frauds].tolist()], type=pa.string()),
    )
    return write_dataset(folder, transactions, labels, {"name": "handbook"})


def _times(source: Path, table: pa.Table) -> npt.NDArray[np.int64]:
    if "TX_DATETIME" in table.column_names:
        return times(column(source, table, "TX_DATETIME"))
    seconds = column(source, table, "TX_TIME_SECONDS")
    values = whole_numbers(seconds)
    refuse(seconds, values < 0, "seconds since 2018-04-01")
    return since(seconds, values, SECOND_US, day_us(START))


def _amounts(source: Path, table: pa.Table) -> npt.NDArray[np.int64]:
    compact = "TX_AMOUNT_CENTS" in table.column_names
    given = column(source, table, "TX_AMOUNT_CENTS" if compact else "TX_AMOUNT")
    return amounts(given, places=None if compact else 2)


def _identifiers(given: Column) -> npt.NDArray[np.int64]:
    values = whole_numbers(given)
    refuse(given, values < 0, "a number that is not negative")
    return values


def _scenarios(source: Path, table: pa.Table) -> npt.NDArray[np.int64]:
    for name in ("TX_FRAUD_SCENARIO", "TX_FRAUD"):
        if name in table.column_names:
            given = column(source, table, name)
            values = whole_numbers(given)
            refuse(given, (values < 0) | (values > 3), "a scenario from 0 to 3")
            return values
    raise SchemaError(f"{source} has neither TX_FRAUD_SCENARIO nor TX_FRAUD.", "Give a file that has one of them.")
