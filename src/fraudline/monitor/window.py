"""A window of decisions in pieces: what drift and skew are measured on, never more than a piece in memory.

    for piece in pieces(Path("decisions.parquet"), spec.names, model_version="3f2a..."):
        piece.times_us, piece.features, piece.score

A window is a file or a folder of files, parquet or JSON lines (as the topic ``decisions`` holds them), with
``event_time``, and the features either as ``features`` (the list in the order of the specification, as in the topic) or
as one column each (`fraudline score --with-features`, step featurize). Of an exported trail (`fraudline audit export`)
the records themselves are read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.errors import DataError, SchemaError
from fraudline.data.json_lines import table_of_lines, tables_of_file
from fraudline.data.schema import times_us

PIECE_ROWS = 65_536
PARQUET = {".parquet", ".pq"}
_LINES = {".jsonl", ".json", ".ndjson"}
_RECORD = ("value", "hash")
"""Columns of an exported trail: a decision as it lies in Kafka, and its place in the chain."""

_CHAIN = "chain.jsonl"
"""What a trail has beside its decisions."""

_RECORD_ROWS = 4_096
_OPTIONAL = ("transaction_id", "score", "model_version", "spec_version", "offset")


@dataclass(frozen=True)
class Piece:
    """Rows of a window.

    Attributes:
        times_us: (n,) int64, event time in µs since the epoch.
        features: (n, d) float32; what is missing is not a number.
        score: (n,) float32, or None where the window has none.
        ids: (n,) strings, or None.
        offsets: (n,) int64, place of the transaction in its partition, or None.
    """

    times_us: NDArray[np.int64]
    features: NDArray[np.float32]
    score: NDArray[np.float32] | None
    ids: pa.Array | None
    offsets: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.times_us)


def pieces(source: Path, names: Sequence[str], model_version: str = "", *, spec_version: str = "") -> Iterator[Piece]:
    """The rows of a window, file by file in the order of their names.

    Args:
        source: a file or a folder.
        names: d feature names.
        model_version: rows of another model are left out where the window says whose they are; "" for every row.
        spec_version: the same of the feature specification.

    Raises:
        DataError: there is no file.
        SchemaError: a file cannot be read, lacks a column, or holds another number of features.
    """
    files = [source]
    if source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in PARQUET | _LINES and p.name != _CHAIN)
    if not files:
        raise DataError(
            f"{source} holds no parquet or JSON lines.", "Name the file or folder of the window's decisions."
        )
    return chain.from_iterable(_of_file(file, names, model_version, spec_version) for file in files)


def piece_of(
    table: pa.Table, names: Sequence[str], source: str, model_version: str = "", spec_version: str = ""
) -> Piece:
    """A table of decisions as a piece.

    Raises:
        SchemaError: a column or a time is missing, or the features are of another number.
    """
    present = set(table.column_names)
    for column, wanted in (("model_version", model_version), ("spec_version", spec_version)):
        if wanted and column in present:
            table = table.filter(pc.equal(table[column], wanted))
    if "event_time" not in present:
        raise SchemaError(
            f"{source} has no column event_time.", "Score with --with-features: hours are compared like with like."
        )
    if missing := table["event_time"].null_count:
        raise SchemaError(
            f"{source}: {missing} of {len(table)} rows have no event_time.", "Leave them out, or fill it in."
        )
    return Piece(
        times_us=times_us(table["event_time"]),
        features=_features(table, names, source),
        score=table["score"].cast(pa.float32()).to_numpy() if "score" in present else None,
        ids=table["transaction_id"].cast(pa.string()).combine_chunks() if "transaction_id" in present else None,
        offsets=table["offset"].cast(pa.int64()).to_numpy() if "offset" in present else None,
    )


def _of_file(file: Path, names: Sequence[str], model_version: str, spec_version: str) -> Iterator[Piece]:
    try:
        for table in _tables(file, names):
            piece = piece_of(table, names, str(file), model_version, spec_version)
            if len(piece):
                yield piece
    except (OSError, pa.ArrowException) as error:
        raise SchemaError(f"{file} cannot be read: {error}.", "Give parquet, or one JSON object a line.") from error


def _tables(file: Path, names: Sequence[str]) -> Iterable[pa.Table]:
    suffix = file.suffix.lower()
    if suffix in PARQUET:
        with pq.ParquetFile(file) as opened:
            if set(_RECORD) <= set(opened.schema_arrow.names):
                yield from _recorded(opened)
                return
            wanted = {"event_time", "features", *_OPTIONAL, *names}
            columns = [name for name in opened.schema_arrow.names if name in wanted]
            for batch in opened.iter_batches(PIECE_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])
    elif suffix in _LINES:
        yield from tables_of_file(file)
    else:
        raise SchemaError(
            f"{file} is neither parquet nor JSON lines.",
            "Write the decisions as one of them: fraudline score --with-features -o decisions.parquet.",
        )


def _recorded(opened: pq.ParquetFile) -> Iterator[pa.Table]:
    for batch in opened.iter_batches(_RECORD_ROWS, columns=_RECORD[:1]):
        if lines := [value for value in batch["value"].to_pylist() if value]:
            yield table_of_lines(lines)


def _features(table: pa.Table, names: Sequence[str], source: str) -> NDArray[np.float32]:
    present = set(table.column_names)
    if "features" in present:
        lists = table["features"].combine_chunks()
        if not isinstance(lists, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
            raise SchemaError(
                f"{source} has features that are {lists.type}, not lists of numbers.",
                "Give decisions as the topic has them.",
            )
        flat = lists.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False)
        if len(flat) != len(table) * len(names):
            raise SchemaError(
                f"{source} has rows without the {len(names)} features of the model.", "Name the model that decided."
            )
        return np.asarray(flat.reshape(len(table), len(names)), np.float32)
    lacking = [name for name in names if name not in present]
    if lacking:
        raise SchemaError(
            f"{source} has no feature {lacking[0]} and no column features.",
            "Score with --with-features, or name the model.",
        )
    columns = [pc.fill_null(table[name].cast(pa.float32()), np.nan).to_numpy() for name in names]
    return np.column_stack(columns)
