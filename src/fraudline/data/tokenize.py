"""Card numbers of a file replaced by tokens, a piece at a time: CSV, parquet and JSON lines, files larger than memory.

Every other column stays as it is: CSV and JSON values keep their text, and a CSV its separator. Afterwards no card
number may be left: one in a column that was not named is an error with its row, and nothing is written.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudline.core.errors import SchemaError, UsageError
from fraudline.core.files import atomic_file
from fraudline.core.masking import card_numbers
from fraudline.core.tokens import Tokenizer
from fraudline.data.importers.source import other_separator

ROWS = 16_384
_NUMBER = r"[0-9](?:[ -]?[0-9]){12}"


@dataclass(frozen=True, slots=True)
class Tokenized:
    """What was done: rows read, and values replaced (a token that was there already is kept, and not counted)."""

    rows: int
    replaced: int


def tokenize_file(
    source: Path,
    out: Path,
    columns: Sequence[str],
    tokenizer: Tokenizer,
    *,
    allow: Sequence[str] = (),
    progress: Callable[[int], object] = lambda _: None,
) -> Tokenized:
    """Write ``source`` with tokens in the place of what ``columns`` hold; the suffix says the format.

    Args:
        source: ``.csv``, ``.parquet``, ``.jsonl`` or ``.ndjson``.
        out: written whole or not at all.
        columns: names of the columns of card numbers.
        tokenizer: gives the tokens.
        allow: columns whose digits may look like card numbers.
        progress: called with the rows of each piece.

    Raises:
        UsageError: another format, or no such column.
        SchemaError: a line is malformed, or a card number stands in another column (says row and column, never the
            number).
    """
    kinds: dict[str, Callable[[_Work], _Csv | _Lines | _Parquet]] = {
        ".csv": _Csv,
        ".parquet": _Parquet,
        ".jsonl": _Lines,
        ".ndjson": _Lines,
    }
    if source.suffix not in kinds:
        raise UsageError(f"{source.name} is of no format known here.", f"Name one of {', '.join(kinds)}.")
    work = _Work(source, tuple(columns), tokenizer, frozenset(allow), progress)
    with atomic_file(out) as temporary:
        kinds[source.suffix](work).write(temporary)
    return Tokenized(work.rows, work.replaced)


class _Work:
    """Replaces values and counts."""

    def __init__(
        self,
        source: Path,
        columns: tuple[str, ...],
        tokenizer: Tokenizer,
        allow: frozenset[str],
        progress: Callable[[int], object],
    ) -> None:
        self.source, self.columns, self.allow = source, columns, allow
        self.rows = self.replaced = 0
        self._tokenizer, self._progress = tokenizer, progress

    def check(self, names: Sequence[str]) -> None:
        if missing := [name for name in self.columns if name not in names]:
            raise UsageError(f"{self.source.name} has no column {missing[0]}.", f"It has {', '.join(names)[:200]}.")

    def token(self, value: str) -> str:
        if not value or self._tokenizer.is_token(value):
            return value
        self.replaced += 1
        return self._tokenizer.token(value)

    def look(self, column: str, text: str, row: int) -> None:
        if column not in self.allow and next(card_numbers(text.encode()), None) is not None:
            raise SchemaError(
                f"{self.source.name}: row {row}, column {column}: a card number.",
                f"Add --column {column}, or --allow {column} where its digits mean something else.",
            )

    def done(self, rows: int) -> None:
        self.rows += rows
        self._progress(rows)


class _Csv:
    def __init__(self, work: _Work) -> None:
        self._work = work

    def write(self, out: Path) -> None:
        work = self._work
        with (
            work.source.open(newline="", encoding="utf-8-sig") as read,
            out.open("w", newline="", encoding="utf-8") as to,
        ):
            rows = csv.reader(read, strict=True)
            try:
                names = next(rows, [])
                if sign := other_separator(names):
                    read.seek(0)
                    rows = csv.reader(read, strict=True, delimiter=sign)
                    names = next(rows)
                work.check(names)
                writer = csv.writer(to, delimiter=sign or ",", lineterminator="\n")
                writer.writerow(names)
                places = [names.index(name) for name in work.columns]
                for piece in _pieces(rows):
                    for line, row in piece:
                        self._replace(row, places, names, line)
                    writer.writerows(row for _, row in piece)
                    work.done(len(piece))
            except (csv.Error, UnicodeDecodeError) as error:
                raise SchemaError(f"{work.source.name}: line {rows.line_num}: {error}.", "Correct the file.") from error

    def _replace(self, row: list[str], places: list[int], names: list[str], line: int) -> None:
        if len(row) != len(names):
            problem = f"{self._work.source.name}: line {line}: {len(row)} values for {len(names)} columns."
            raise SchemaError(problem, "Correct the file.")
        for place in places:
            row[place] = self._work.token(row[place])
        for place, value in enumerate(row):
            if len(value) > 12 and place not in places:
                self._work.look(names[place], value, line)


class _Lines:
    def __init__(self, work: _Work) -> None:
        self._work = work

    def write(self, out: Path) -> None:
        work = self._work
        decoder, encoder = msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Encoder()
        with work.source.open("rb") as read, out.open("wb") as to:
            for number, line in enumerate(read, 1):
                if not line.strip():
                    continue
                try:
                    row: dict[str, Any] = decoder.decode(line)
                    for name in work.columns:
                        if name in row and (value := msgspec.json.decode(row[name])) is not None:
                            row[name] = work.token(self._text(value, name, number))
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    raise SchemaError(f"{work.source.name}: line {number}: {error}.", "Correct the file.") from error
                for name, value in row.items():
                    if name not in work.columns and len(value) > 12:
                        work.look(name, bytes(value).decode("utf-8", "replace"), number)
                to.write(encoder.encode(row) + b"\n")
                work.done(1)

    def _text(self, value: Any, name: str, line: int) -> str:
        if isinstance(value, str) or type(value) is int:
            return str(value)
        problem = f"{self._work.source.name}: line {line}: {name} is neither text nor a whole number."
        raise SchemaError(problem, "Write it as text: its digits are those of no card.")


class _Parquet:
    def __init__(self, work: _Work) -> None:
        self._work = work

    def write(self, out: Path) -> None:
        work = self._work
        try:
            file = pq.ParquetFile(work.source)
        except pa.ArrowException as error:
            raise SchemaError(f"{work.source.name} is not parquet: {error}.", "Correct the file.") from error
        schema = file.schema_arrow
        work.check(schema.names)
        for name in work.columns:
            at = schema.get_field_index(name)
            schema = schema.set(at, pa.field(name, pa.string(), nullable=schema.field(at).nullable))
        with pq.ParquetWriter(out, schema, compression="zstd") as writer:
            for batch in file.iter_batches(ROWS):
                writer.write_batch(pa.record_batch([self._column(name, batch[name]) for name in schema.names], schema))
                work.done(batch.num_rows)

    def _column(self, name: str, column: pa.Array) -> pa.Array:
        work = self._work
        if name in work.columns:
            if pa.types.is_floating(column.type):
                problem = f"{work.source.name}: column {name} has numbers with a fraction ({column.type})."
                raise SchemaError(problem, "Write it as text or whole numbers: its digits are those of no card.")
            texts = self._texts(name, column, "cannot be read as text", "Write it as text.").to_pylist()
            return pa.array([None if text is None else work.token(text) for text in texts], pa.string())
        if name not in work.allow:
            texts = self._searched(name, column)
            for row in pc.indices_nonzero(pc.fill_null(pc.match_substring_regex(texts, _NUMBER), False)).to_pylist():
                work.look(name, texts[row].as_py(), work.rows + row + 1)
        return column

    def _searched(self, name: str, column: pa.Array) -> pa.Array:
        """What a column says, as text."""
        kind = column.type
        if pa.types.is_temporal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
            return pa.nulls(len(column), pa.string())
        if pa.types.is_floating(kind):  # a card number in one is a whole number; its text would be 4.1e+15
            column = column.cast(pa.float64())
            whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), 2.0**63))
            return pc.if_else(whole, column, None).cast(pa.int64()).cast(pa.string())
        wanted = f"Write it as text, or --allow {name} where it holds none."
        return self._texts(name, column, "is not searched for card numbers", wanted)

    def _texts(self, name: str, column: pa.Array, problem: str, action: str) -> pa.Array:
        try:
            return _texts(column)
        except pa.ArrowException as error:
            raise SchemaError(
                f"{self._work.source.name}: column {name} is {column.type}, which {problem}.", action
            ) from error


def _texts(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        raise pa.ArrowTypeError("bytes are no text")
    return column.cast(pa.string())


def _pieces(rows: Any) -> Iterator[list[tuple[int, list[str]]]]:
    """Rows of a CSV reader, each with the number of its last line."""
    piece: list[tuple[int, list[str]]] = []
    for row in rows:
        piece.append((rows.line_num, row))
        if len(piece) == ROWS:
            yield piece
            piece = []
    if piece:
        yield piece
