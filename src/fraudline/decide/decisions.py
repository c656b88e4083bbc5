"""Decisions read back: the scores that a worker, a server or ``fraudline score`` gave, with what is known since.

    decisions = read_decisions(Path("decisions.jsonl"), dataset=Path("data"))
    decisions.score, decisions.known, decisions.fraud

A file is parquet, CSV or JSON lines (as the topic ``decisions`` holds them). Only ``score`` is required; card, time,
amount and label come from the file's columns ``card_id``, ``event_time``, ``amount_minor`` (with ``currency``) and
``is_fraud`` (null where unknown), or from a data set by ``transaction_id``.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US
from fraudline.core.errors import DataError, SchemaError
from fraudline.data.importers import reading
from fraudline.data.importers.source import column, read_source
from fraudline.data.json_lines import table_of_lines
from fraudline.data.money import in_base
from fraudline.data.schema import times_us
from fraudline.data.store import read_labels, read_transactions
from fraudline.decide.policy import BLOCK, DECISIONS
from fraudline.features.spec import FeatureSpec, load_spec

_LINES = {".jsonl", ".json", ".ndjson"}
NEVER_US = int(np.iinfo(np.int64).max)
_JOINED = ("card_id", "event_time", "amount_minor", "currency")


@dataclass(frozen=True)
class Decisions:
    """n scored transactions in order of time.

    Attributes:
        score: (n,) float32, high = anomalous.
        cards: (n,) int64 card code from 0.
        times_us: (n,) int64, µs since the epoch; zeros when no time is known.
        amounts: (n,) int64, minor units of the base currency; zeros when no amount is known.
        fraud: (n,) bool, reported as a fraud.
        known_us: (n,) int64, when the label came or its delay had passed, µs since the epoch; else ``NEVER_US``.
        rows: (n,) int64, place in the file.
    """

    score: NDArray[np.float32]
    cards: NDArray[np.int64]
    times_us: NDArray[np.int64]
    amounts: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    known_us: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.score)

    def only(self, rows: NDArray[np.bool_]) -> "Decisions":
        """Some of the rows, with the same card codes."""
        return Decisions(*(getattr(self, field.name)[rows] for field in fields(self)))

    def as_of(self, moment_us: int) -> "Decisions":
        """The same rows with the labels that were known before a moment."""
        known = self.known_us < moment_us
        return replace(self, fraud=self.fraud & known, known_us=np.where(known, self.known_us, NEVER_US))

    @property
    def known(self) -> NDArray[np.bool_]:
        """(n,) whether ``fraud`` is known: reported, or older than the labels' delay."""
        return np.asarray(self.known_us < NEVER_US)

    @property
    def days(self) -> NDArray[np.int64]:
        """(n,) UTC day since the epoch."""
        return self.times_us // DAY_US


def read_decisions(
    file: Path, *, dataset: Path | None = None, label_delay_days: int = 7, spec: FeatureSpec | None = None
) -> Decisions:
    """Read scored transactions.

    Args:
        file: parquet, CSV or JSON lines.
        dataset: the data set that has the transactions and, as far as they arrived, their labels.
        label_delay_days: a transaction of the data set without a label is a known normal once it is this much older
            than the newest label or transaction. Of a blocked one that the data set lacks nothing is known
            (``data collect`` leaves it out); its card and time are the file's.
        spec: gives the base currency and the rates; the packaged specification when not given.

    Raises:
        SchemaError: a column or value is wrong, or a transaction that was not blocked is not in the data set.
        DataError: there is no row.
    """
    table = read_columns(file)
    if not table.num_rows:
        raise DataError(f"{file} has no row.", "Give a file with scored transactions.")
    score = reading.decimals(column(file, table, "score")).astype(np.float32)
    spec = spec or load_spec()
    if dataset is not None:
        table = _joined(file, table, dataset, label_delay_days, spec)
    n, present = table.num_rows, set(table.column_names)
    times = _times(file, table) if "event_time" in present else np.zeros(n, np.int64)
    fraud, known_us = np.zeros(n, bool), np.full(n, NEVER_US)
    if "is_fraud" in present:
        fraud, known_us = _labels(file, table, times)
    decisions = Decisions(
        score=score,
        cards=_codes(file, table) if "card_id" in present else np.arange(n),
        times_us=times,
        amounts=_amounts(file, table, spec) if "amount_minor" in present else np.zeros(n, np.int64),
        fraud=fraud,
        known_us=known_us,
        rows=np.arange(n),
    )
    order = np.argsort(times, kind="stable")
    return Decisions(*(getattr(decisions, field.name)[order] for field in fields(decisions)))


def read_columns(file: Path) -> pa.Table:
    """All columns of a file of decisions, as they stand.

    Raises:
        SchemaError: it cannot be read.
    """
    if file.suffix.lower() not in _LINES:
        return read_source(file)
    try:
        content = file.read_bytes()
        none = pa.table({"score": pa.array([], pa.float64())})
        return table_of_lines(content.splitlines()) if content.strip() else none
    except (OSError, pa.ArrowInvalid) as error:
        raise SchemaError(f"{file} cannot be read: {error}.", "Give one JSON object a line.") from error


def _joined(file: Path, table: pa.Table, dataset: Path, delay_days: int, spec: FeatureSpec) -> pa.Table:
    """The file's rows with the data set's columns and what its labels say by now."""
    ids = reading.strings(column(file, table, "transaction_id"))
    known = read_transactions(dataset)
    at = pc.index_in(ids, value_set=known["transaction_id"].combine_chunks())
    absent = pc.is_null(at).to_numpy(zero_copy_only=False)
    strange = absent & (decided(table) != DECISIONS[BLOCK])
    if strange.any():
        raise SchemaError(
            f"{file}: {strange.sum()} transactions are not in {dataset}, {ids.filter(pa.array(strange))[0]} for one.",
            "Name the data set that was scored.",
        )
    rows = known.select(_JOINED).take(at)
    if absent.any():
        rows = _completed(file, table, rows, spec.base_currency)
    labels = read_labels(dataset)
    frauds = labels.filter(labels["is_fraud"])
    fraud = pc.is_in(ids, value_set=frauds["transaction_id"].combine_chunks()).to_numpy(zero_copy_only=False)
    times = times_us(rows["event_time"])
    newest = max([int(times_us(t).max()) for t in (known["event_time"], labels["label_time"]) if len(t)])
    matured = ~absent & (times < newest - delay_days * DAY_US)
    reported = pc.index_in(ids, value_set=frauds["transaction_id"].combine_chunks())
    since = times_us(frauds["label_time"])[pc.fill_null(reported, 0).to_numpy()] if len(frauds) else times
    known_us = np.where(fraud, since, times + delay_days * DAY_US)
    rows = rows.append_column("is_fraud", pa.array(fraud, mask=~(fraud | matured)))
    return rows.append_column("known_us", pa.array(known_us))


def decided(table: pa.Table) -> NDArray[np.str_]:
    """(n,) the column ``decision``; empty words where a file has none, because nothing was decided by it."""
    if "decision" not in table.column_names:
        return np.full(table.num_rows, "")
    return np.array(pc.fill_null(table["decision"].cast(pa.string()), "").to_pylist(), str)


def shares(file: Path, table: pa.Table) -> NDArray[np.float64]:
    """(n,) the column ``sampled``, the share that a row was drawn with to be reviewed; 0 for what was not drawn.

    Raises:
        SchemaError: one is no share.
    """
    if "sampled" not in table.column_names:
        return np.zeros(table.num_rows)
    given, expected = column(file, table, "sampled"), "a share from 0 to 1 or nothing"
    numbers = reading.converted(given, lambda values: values.cast(pa.float64()), expected)
    found = np.asarray(pc.fill_null(numbers, 0.0).to_numpy())
    reading.refuse(given, ~((found >= 0) & (found <= 1)), expected)
    return found


def _completed(file: Path, table: pa.Table, rows: pa.Table, currency: str) -> pa.Table:
    """Rows of a data set with the file's card and time for what the data set lacks; no amount is known of it."""
    times = pa.array(_times(file, table)).cast(rows["event_time"].type)
    own = (column(file, table, "card_id").values.cast(pa.string()), times, 0, currency)
    return pa.table({name: pc.coalesce(rows[name], values) for name, values in zip(_JOINED, own, strict=True)})


def _times(file: Path, table: pa.Table) -> NDArray[np.int64]:
    given, expected = column(file, table, "event_time"), "a time like 2026-01-31T12:30:00Z, or microseconds"
    reading.refuse(given, given.values.is_null().to_numpy(), expected)
    return np.asarray(reading.converted(given, times_us, expected))


def _codes(file: Path, table: pa.Table) -> NDArray[np.int64]:
    cards = reading.strings(column(file, table, "card_id"))
    return np.asarray(cards.dictionary_encode().indices.to_numpy(), np.int64)


def _labels(file: Path, table: pa.Table, times: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Labels, and since when they are known; those of a file without times are taken as known at once."""
    given = column(file, table, "is_fraud")
    values = reading.converted(given, lambda values: values.cast(pa.bool_()), "true, false or nothing")
    known = pc.is_valid(values).to_numpy().astype(bool)
    since = table["known_us"].to_numpy() if "known_us" in table.column_names else times
    return pc.fill_null(values, False).to_numpy().astype(bool), np.where(known, since, NEVER_US)


def _amounts(file: Path, table: pa.Table, spec: FeatureSpec) -> NDArray[np.int64]:
    """Minor units of the base currency."""
    amounts = reading.whole_numbers(column(file, table, "amount_minor"))
    if "currency" not in table.column_names:
        return amounts
    codes = reading.strings(column(file, table, "currency"))
    unknown = [name for name in codes.unique().to_pylist() if name not in spec.currencies]
    if unknown:
        raise SchemaError(f"The currency {unknown[0]} has no rate.", "Add it to the feature specification.")
    return np.asarray(np.rint(in_base(amounts, codes, spec.minor_rates)), np.int64)
