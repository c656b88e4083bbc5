"""The data set folder: daily parquet files of transactions and labels, and ``dataset.json``.

    write_dataset(Path("data"), transactions, labels, {"name": "default"})
    read_transactions(Path("data"), start=date(2026, 2, 1))

Ranges of days are half-open, ``[start, end)``. Writing is atomic: an earlier folder is replaced as a whole or stays.
"""

import contextlib
import itertools
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, EPOCH
from fraudline.core.errors import DataError, SchemaError
from fraudline.core.files import atomic_folder, read_json, write_json
from fraudline.data.schema import LABELS, ORDER, TRANSACTIONS

EXTRA = "extra"
"""The folder of tables that only some data sets have."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.parquet")
_TRANSACTION_ENCODING = {
    "transaction_id": "DELTA_BYTE_ARRAY",
    "event_time": "DELTA_BINARY_PACKED",
}
_NAME_ONE = "Name a data set folder (transactions/, labels/)."
_LABEL_ENCODING = {"transaction_id": "DELTA_BYTE_ARRAY", "label_time": "DELTA_BINARY_PACKED"}


def write_dataset(
    folder: Path,
    transactions: pa.Table,
    labels: pa.Table,
    meta: Mapping[str, Any],
    *,
    extra: Mapping[str, pa.Table] | None = None,
) -> dict[str, Any]:
    """Write a data set in the place of ``folder``, atomically.

    Args:
        folder: the data set folder; an earlier one is replaced.
        transactions: rows of ``schema.TRANSACTIONS`` in any order.
        labels: rows of ``schema.LABELS`` in any order.
        meta: further keys of ``dataset.json`` (``name``, ``currency``, ``generator``).
        extra: tables that the schema has no place for, written to ``extra/<name>.parquet``.

    Returns:
        What was written to ``dataset.json``.

    Raises:
        SchemaError: a table does not have its schema.
        DataError: there is no transaction.
    """
    transactions = _fit(transactions, TRANSACTIONS, "transactions").sort_by(ORDER)
    labels = _fit(labels, LABELS, "labels").sort_by([("label_time", "ascending"), ("transaction_id", "ascending")])
    if transactions.num_rows == 0:
        raise DataError("The data set has no transaction.", "Give at least one row.")
    day_numbers = day_numbers_of(transactions["event_time"])
    summary = _summary(transactions, labels, day_numbers, meta)
    with atomic_folder(folder, sometimes=(EXTRA,)) as temporary:
        _write_days(temporary / "transactions", transactions, day_numbers, _TRANSACTION_ENCODING)
        _write_days(temporary / "labels", labels, day_numbers_of(labels["label_time"]), _LABEL_ENCODING)
        for name, table in (extra or {}).items():
            (temporary / EXTRA).mkdir(exist_ok=True)
            pq.write_table(table, temporary / EXTRA / f"{name}.parquet", compression="zstd", compression_level=9)
        write_json(temporary / "dataset.json", summary)
    return summary


def _summary(
    transactions: pa.Table, labels: pa.Table, numbers: NDArray[np.int64], meta: Mapping[str, Any]
) -> dict[str, Any]:
    currencies = transactions["currency"].unique().to_pylist()
    return {
        "name": "dataset",
        "currency": currencies[0] if len(currencies) == 1 else "mixed",
        "generator": None,
        **meta,
        "start": day_of(int(numbers[0])).isoformat(),
        "days": int(numbers[-1] - numbers[0]) + 1,
        "transactions": transactions.num_rows,
        "frauds": int(np.count_nonzero(labels["is_fraud"].to_numpy())),
    }


def read_meta(folder: Path) -> dict[str, Any]:
    """The content of ``dataset.json``.

    Raises:
        DataError: the folder is no data set.
    """
    path = folder / "dataset.json"
    try:
        meta: dict[str, Any] = read_json(path, action=_NAME_ONE)
    except OSError as error:
        raise DataError(f"{path} cannot be read.", _NAME_ONE) from error
    return meta


def read_transactions(folder: Path, start: date | None = None, end: date | None = None) -> pa.Table:
    """Transactions of the days ``[start, end)``, sorted by (event_time, transaction_id).

    Raises:
        DataError: the folder is no data set, or a file cannot be read.
    """
    chosen = [d for d in days(folder) if (start is None or d >= start) and (end is None or d < end)]
    paths = [folder / "transactions" / f"{d.isoformat()}.parquet" for d in chosen]
    return _read(paths, TRANSACTIONS)


def read_transactions_of(folder: Path, ids: pa.Array) -> pa.Table:
    """The transactions with these ids, in their order; a row of nulls for one that is not there.

    Raises:
        DataError: the folder is no data set, or a file cannot be read.
    """
    whole = read_transactions(folder)
    return whole.take(pc.index_in(ids, value_set=whole["transaction_id"].combine_chunks()))


def read_labels(folder: Path) -> pa.Table:
    """All labels, sorted by (label_time, transaction_id).

    Raises:
        DataError: a file cannot be read.
    """
    return _read(sorted((folder / "labels").glob("*.parquet")), LABELS)


def transaction_files(folder: Path) -> list[Path]:
    """The files of a data set's transactions, a day each, in order; none where it is no data set."""
    return sorted((folder / "transactions").glob("*.parquet"))


def days(folder: Path) -> list[date]:
    """The days that have a transaction file, ascending.

    Raises:
        DataError: the folder has none, or a file is not named by a day.
    """
    try:
        found = list(map(day_named, transaction_files(folder)))
    except ValueError as error:
        raise DataError(f"{error}.", "Name it YYYY-MM-DD.parquet or remove it.") from error
    if not found:
        raise DataError(f"{folder} has no transactions.", "Name a data set folder (transactions/YYYY-MM-DD.parquet).")
    return found


def day_named(path: Path) -> date:
    """The day that a file is named by.

    Raises:
        ValueError: it is named by none, or not as YYYY-MM-DD.parquet.
    """
    if _DAY.fullmatch(path.name):
        with contextlib.suppress(ValueError):  # 2026-02-30
            return date.fromisoformat(path.stem)
    raise ValueError(f"{path} is not named by a day")


def day_numbers_of(times: pa.ChunkedArray) -> NDArray[np.int64]:
    """Days since the epoch, int64 (n,), of a timestamp[us] column without nulls."""
    result: NDArray[np.int64] = times.cast(pa.int64()).to_numpy() // DAY_US
    return result


def day_of(number: int) -> date:
    """The date of a day number.

    >>> day_of(0)
    datetime.date(1970, 1, 1)
    """
    return EPOCH.date() + timedelta(days=number)


def _fit(table: pa.Table, schema: pa.Schema, name: str) -> pa.Table:
    if set(table.column_names) != set(schema.names):
        wrong = sorted(set(table.column_names) ^ set(schema.names))
        raise SchemaError(f"{name}: missing or unknown columns {wrong}.", f"Give exactly {schema.names}.")
    table = table.select(schema.names)
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            raise SchemaError(f"{name}: column {field.name} has nulls.", "Fill or drop these rows.")
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise SchemaError(f"{name}: {error}.", f"Give the types of {schema}.") from error


def _write_days(folder: Path, table: pa.Table, numbers: NDArray[np.int64], encoding: Mapping[str, str]) -> None:
    folder.mkdir()
    dictionary = [name for name in table.column_names if name not in encoding]
    table = table.combine_chunks()
    bounds = [*np.flatnonzero(np.diff(numbers, prepend=numbers[:1] - 1)).tolist(), len(numbers)]
    for begin, end in itertools.pairwise(bounds):
        pq.write_table(
            table.slice(begin, end - begin),
            folder / f"{day_of(int(numbers[begin])).isoformat()}.parquet",
            compression="zstd",
            compression_level=9,
            use_dictionary=dictionary,
            column_encoding=dict(encoding),
            write_statistics=False,
            store_schema=True,
        )


def _read(paths: list[Path], schema: pa.Schema) -> pa.Table:
    tables = []
    for path in paths:
        try:
            tables.append(pq.read_table(path, partitioning=None))
        except (OSError, pa.ArrowInvalid) as error:
            raise DataError(f"{path} cannot be read: {error}.", "Restore the file (dvc checkout).") from error
        tables[-1] = _conform(tables[-1], schema, path)
    return pa.concat_tables(tables) if tables else schema.empty_table()


def _conform(table: pa.Table, schema: pa.Schema, path: Path) -> pa.Table:
    if table.schema.names != schema.names or table.schema.types != schema.types:
        wrong = sorted(
            {f"{field.name}: {field.type}" for field in table.schema}
            ^ {f"{field.name}: {field.type}" for field in schema}
        )
        raise SchemaError(f"{path}: columns differ from the schema: {wrong}.", "Write it with fraudline.data.store.")
    return pa.Table.from_arrays(table.columns, schema=schema)
