"""A foreign file and its columns by name; an error names the file, the row and the column.

Rows are counted from 1, without a CSV's header; an error names the line of a CSV, too.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fraudline.core.errors import SchemaError

Separator = Literal[",", ";", "\t", "|"]
"""What fields of a CSV may be separated by."""
_PICKLES = {".pkl", ".pickle", ".joblib"}


@contextmanager
def checked_first() -> Iterator[None]:
    """Around an importer: its errors say that the data folder is as it was, because nothing is written before."""
    try:
        yield
    except SchemaError as error:
        told = error.action.removesuffix(".")
        raise SchemaError(error.problem, f"{told}; the data folder was not changed.") from error


class Column(NamedTuple):
    """One column of a source file."""

    file: Path
    name: str
    values: pa.ChunkedArray
    rows: npt.NDArray[np.int64] | None = None
    """Indexes in the file, when ``values`` are a part of it."""

    separator: str = ","
    """Between the fields of a CSV."""

    decimal: str = "."
    """Before the decimals of a number that is a text."""

    def only(self, rows: npt.NDArray[np.int64]) -> "Column":
        """The part of the column at these indexes."""
        return self._replace(values=self.values.take(pa.array(rows)), rows=rows)

    def error(self, row: int, expected: str, action: str = "Correct the row") -> SchemaError:
        """The error for the value at index ``row`` (from 0); the ``action`` may be one on what was asked of it."""
        found = self.values[row].as_py()
        shown = "nothing" if found is None else repr(found)
        row = row if self.rows is None else int(self.rows[row])
        return SchemaError(
            f"{self.file}: row {row + 1}, column {self.name}: found {shown}, expected {expected}"
            f"{_line(self.file, row, self.separator)}.",
            f"{action}.",
        )


def _line(file: Path, row: int, separator: str) -> str:
    """Where a CSV's row at index ``row`` ends: empty lines are no rows, and a row may be of several lines."""
    if file.suffix.lower() != ".csv":
        return ""
    try:
        with file.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
            rows = csv.reader(stream, delimiter=separator)
            next(islice(filter(None, rows), row + 1, None))
            return f" (line {rows.line_num} of the file)"
    except (OSError, csv.Error, StopIteration):
        return ""


def read_source(file: Path, separator: str = ",") -> pa.Table:
    """All columns of a CSV (as strings, empty is null) or parquet file; ``separator``: between the fields of a CSV.

    Raises:
        SchemaError: it is a pickle, not readable, or names a column twice; a CSV row with another number of fields is
            named.
    """
    if file.suffix.lower() in _PICKLES:
        raise SchemaError(
            f"{file} is a pickle, which can run code when it is opened.",
            "Convert it where you trust it: pandas.read_pickle(file).to_parquet(...).",
        )
    try:
        parquet = file.suffix.lower() in (".parquet", ".pq")
        table = pq.read_table(file, partitioning=None) if parquet else _read_csv(file, separator)
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise unreadable(file, error) from error
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise SchemaError(f"{file} has more than one column {twice[0]}.", "Rename or remove one of them.")
    return table


def unreadable(file: Path, error: Exception) -> SchemaError:
    """The error for a file that Arrow cannot read: a CSV in another encoding, in its names or its rows, or no table."""
    if isinstance(error, UnicodeDecodeError) or "invalid UTF8" in str(error):
        return SchemaError(f"{file} is not UTF-8.", f"Convert it: iconv -f LATIN1 -t UTF-8 {file.name} (or -f UTF-16).")
    return SchemaError(f"{file} cannot be read: {error}.", "Give a CSV or a parquet file.")


def _read_csv(file: Path, separator: str) -> pa.Table:
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "skip"

    lenient = pa_csv.ParseOptions(delimiter=separator, invalid_row_handler=lambda _: "skip")
    with pa_csv.open_csv(file, pa_csv.ReadOptions(use_threads=False), lenient) as head:
        names = head.schema.names
    table = pa_csv.read_csv(
        file,
        read_options=pa_csv.ReadOptions(use_threads=False),
        parse_options=pa_csv.ParseOptions(delimiter=separator, invalid_row_handler=note),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
        ),
    )
    if wrong:
        first = wrong[0]
        raise SchemaError(
            f"{file}: row {first.number - 1}: found {first.actual_columns} fields, expected {first.expected_columns}.",
            separated_otherwise(names) or "Correct the row.",
        )
    return table


def other_separator(names: Sequence[str]) -> str:
    """The sign in a header that is one name only because its fields are separated by it and not by commas; or ""."""
    return next((sign for sign in get_args(Separator)[1:] if sign in names[0]), "") if len(names) == 1 else ""


def separated_otherwise(names: Sequence[str]) -> str:
    """What to do with a CSV whose header has :func:`other_separator`; or ""."""
    sign = other_separator(names)
    done = f"write commas, or `separator: {json.dumps(sign)}` in the mapping of `data import table`"
    return f"Its fields are separated by {sign!r}: {done}." if sign else ""


def column(file: Path, table: pa.Table, name: str) -> Column:
    """A column by name.

    Raises:
        SchemaError: there is none, or the file has no row.
    """
    if name not in table.column_names:
        action = separated_otherwise(table.column_names) or "Give a file that has it."
        raise SchemaError(f"{file} has no column {name}; it has {', '.join(table.column_names)}.", action)
    if table.num_rows == 0:
        raise SchemaError(f"{file} has no row.", "Give a file with transactions.")
    return Column(file, name, table[name])
