"""The rows of a CSV or parquet file or of a data set, some at a time: they may be more than memory holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fraudline.core.errors import SchemaError
from fraudline.data.importers.source import Column, column, read_source, separated_otherwise, unreadable
from fraudline.data.store import transaction_files

ROWS = 65_536
"""Of a chunk, at most."""

_BLOCK_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20
_PARQUET = (".parquet", ".pq")
_CSV = ".csv"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file.

    Attributes:
        file: where they are from.
        table: all columns, or those asked for; of a CSV as texts.
        first: index in the file of the first row.
        share: of the source that has been read with this chunk, from 0 to 1.
        before: rows of the files before this one.
    """

    file: Path
    table: pa.Table
    first: int
    share: float
    before: int = 0

    @property
    def names(self) -> set[str]:
        """Names of the columns."""
        return set(self.table.column_names)

    def column(self, name: str) -> Column:
        """A column by name, which knows its rows' numbers in the file.

        Raises:
            SchemaError: there is none, or the file has no row.
        """
        rows = np.arange(self.first, self.first + self.table.num_rows)
        return column(self.file, self.table, name)._replace(rows=rows)


def chunks(source: Path, only: Sequence[str] | None = None) -> Iterator[Chunk]:
    """The chunks of a file, or of a data set folder's days one after the other; one without rows where a file has none.

    Args:
        source: CSV, or parquet by its suffix; or a data set folder.
        only: names of columns; those that the file lacks are left out. None for all of them.

    Raises:
        SchemaError: it is a pickle, not readable, or names a column twice; a CSV row with another number of fields is
            named. A folder is no data set.
    """
    if not source.is_dir():
        yield from _of_file(source, only)
        return
    days, done = transaction_files(source), 0
    if not days:
        raise SchemaError(
            f"{source} is no data set: it has no transactions.", "Name a file, or what `data import` made."
        )
    for place, day in enumerate(days):
        rows = 0
        for chunk in _of_file(day, only):
            rows += chunk.table.num_rows
            yield replace(chunk, before=done, share=(place + chunk.share) / len(days))
        done += rows


def _of_file(file: Path, only: Sequence[str] | None) -> Iterator[Chunk]:
    suffix = file.suffix.lower()
    try:
        if suffix in _PARQUET:
            yield from _parquet(file, only)
        elif suffix == _CSV:
            yield from _csv(file, only)
        else:
            table = read_source(file)
            yield Chunk(
                file, table.select([name for name in only or table.column_names if name in table.column_names]), 0, 1.0
            )
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise unreadable(file, error) from error


def _parquet(file: Path, only: Sequence[str] | None) -> Iterator[Chunk]:
    with pq.ParquetFile(file, buffer_size=_BUFFER_BYTES) as source:
        schema = source.schema_arrow
        _unique(file, schema.names)
        names = [name for name in schema.names if only is None or name in only]
        whole, done = source.metadata.num_rows, 0
        if whole == 0:
            yield Chunk(file, schema.empty_table().select(names), 0, 1.0)
        for group in range(source.num_row_groups):  # a reader of all groups keeps what it has read of the file
            for batch in source.iter_batches(ROWS, row_groups=[group], columns=names, use_threads=False):
                yield Chunk(file, pa.Table.from_batches([batch]), done, (done + batch.num_rows) / whole)
                done += batch.num_rows


def _csv(file: Path, only: Sequence[str] | None) -> Iterator[Chunk]:
    wrong: list[Any] = []

    def note(row: Any) -> str:
        wrong.append(row)
        return "skip"

    options = pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES)
    with pa_csv.open_csv(file, options, pa_csv.ParseOptions(invalid_row_handler=lambda _: "skip")) as head:
        present = head.schema.names
    _unique(file, present)
    names = [name for name in present if only is None or name in only]
    conversion = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(present, pa.string()),
        strings_can_be_null=True,
        null_values=[""],
        include_columns=names,
    )
    size, done = max(file.stat().st_size, 1), 0
    with (
        file.open("rb") as raw,
        pa_csv.open_csv(raw, options, pa_csv.ParseOptions(invalid_row_handler=note), conversion) as reader,
    ):
        for batch in reader:
            _refuse(file, wrong, done, present)
            for start in range(0, batch.num_rows, ROWS):
                part = pa.Table.from_batches([batch.slice(start, ROWS)])
                yield Chunk(file, part, done, min(raw.tell() / size, 1.0))
                done += part.num_rows
        _refuse(file, wrong, done, present)
        if done == 0:
            yield Chunk(file, reader.schema.empty_table(), 0, 1.0)


def _refuse(file: Path, wrong: list[Any], done: int, names: Sequence[str]) -> None:
    if wrong:
        first = wrong[0]
        where = f"row {first.number - 1}" if first.number is not None else f"after row {done}"
        raise SchemaError(
            f"{file}: {where}: found {first.actual_columns} fields, expected {first.expected_columns}.",
            separated_otherwise(names) or "Correct the row.",
        )


def _unique(file: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(f"{file} has more than one column {twice[0]}.", "Rename or remove one of them.")
