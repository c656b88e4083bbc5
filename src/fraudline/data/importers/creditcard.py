"""The ULB credit card set: ``Time``, ``V1`` … ``V28``, ``Amount``, ``Class``.

The set has no cards and no merchants. A history must not be invented, so every row is a card of its own, at one
merchant ``m00000``: features over a card's past then say truthfully that there is none. The 28 principal components
cannot be columns of the transaction schema; they are kept beside it in ``extra/creditcard.parquet`` (``transaction_id``
and ``V1`` … ``V28`` as float32), for a model that is given them. The source says September 2013 and counts seconds
from its first row: the first day is taken as 2013-09-01. The channel is unknown and written as ``ecommerce``.
"""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fraudline.core.clock import DAY_US, SECOND_US, day_us
from fraudline.data.importers.reading import amounts, decimals, refuse, since, whole_numbers
from fraudline.data.importers.rows import build_labels, build_transactions
from fraudline.data.importers.source import checked_first, column, read_source
from fraudline.data.store import write_dataset

COMPONENTS = tuple(f"V{number}" for number in range(1, 29))
START = date(2013, 9, 1)
LABEL_DELAY_DAYS = 7
"""From a fraud to its label; the source has none."""


@checked_first()
def import_creditcard(source: Path, folder: Path) -> dict[str, Any]:
    """Import ``creditcard.csv`` (or the same columns as parquet).

    Args:
        source: the file.
        folder: the data set folder, replaced as a whole.

    Returns:
        The summary written to ``dataset.json``.

    Raises:
        SchemaError: a column or value is wrong; the folder stays as it was.
    """
    table = read_source(source)
    seconds, price, fraud = (column(source, table, name) for name in ("Time", "Amount", "Class"))
    time = decimals(seconds)
    refuse(seconds, time < 0, "seconds since the first row")
    event_time = since(seconds, time, SECOND_US, day_us(START))
    amount = amounts(price, places=2)
    is_fraud = whole_numbers(fraud)
    refuse(fraud, (is_fraud != 0) & (is_fraud != 1), "0 or 1")
    components = {name: decimals(column(source, table, name)).astype(np.float32) for name in COMPONENTS}
    n = len(time)
    ids = pa.array([f"t{row:09d}" for row in range(n)])
    transactions = build_transactions(
        transaction_id=ids,
        event_time_us=event_time,
        card_id=pa.array([f"c{row:09d}" for row in range(n)]),
        merchant_id=pa.array(["m00000"]).take(pa.array(np.zeros(n, dtype=np.int64))),
        amount_minor=amount,
        channel="ecommerce",
    )
    frauds = np.flatnonzero(is_fraud)
    labels = build_labels(
        transaction_id=ids.take(pa.array(frauds)),
        label_time_us=event_time[frauds] + LABEL_DELAY_DAYS * DAY_US,
        fraud_kind=pa.nulls(len(frauds), pa.string()),
    )
    extra = {"creditcard": pa.table({"transaction_id": ids, **components})}
    return write_dataset(folder, transactions, labels, {"name": "creditcard"}, extra=extra)
