"""Score a file offline: what the stream decides on the same rows, and the endpoint on the same features.

A file of transactions (the columns of ``data.schema.TRANSACTIONS``) or a data set folder gets its features from the
engine, in their order, after the ``history`` before them or from a worker's ``checkpoint``. A file that has every
column of the model's feature specification is scored as it is.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.errors import SchemaError, StateError, UsageError
from fraudline.core.files import atomic_file
from fraudline.core.log import get_logger
from fraudline.core.sealing import key_wrapper
from fraudline.data.importers import reading
from fraudline.data.importers.rows import UNKNOWN_CATEGORY, build_transactions
from fraudline.data.importers.source import Column
from fraudline.data.store import read_transactions
from fraudline.decide.policy import DECISIONS, Thresholds, decide
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import FeatureSpec
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.wording import Wording
from fraudline.steps.params import Params
from fraudline.steps.score_source import Chunk, chunks
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.params import StreamParams
from fraudline.stream.partitioning import partitions_of
from fraudline.stream.scoring import InProcessScoring, joined

log = get_logger(__name__)

LISTENER: ContextVar[Callable[[int, float], None]] = ContextVar("listener", default=lambda rows, share: None)
"""Told after each chunk: rows scored, and the share of the file, from 0 to 1."""

_ROWS_A_CALL = 1_024
"""What one row's arithmetic needs stays in the processor's cache."""

_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
_REQUIRED = ("event_time", "card_id", "merchant_id", "amount_minor", "currency", "channel")
_KEYS = ("transaction_id", "card_id", "event_time")
_CHECKPOINTS = "*.checkpoint"


def score(
    *,
    file: Path,
    model: Path,
    out: Path,
    params: Params,
    history: Path | None = None,
    checkpoint: Path | None = None,
    profiles: Path | None = None,
    with_features: bool = False,
    jobs: int = 1,
) -> dict[str, Any]:
    """Score every row of a file.

    Args:
        file: CSV or parquet, of transactions or of feature rows; or a data set folder.
        model: the artifact.
        out: CSV or parquet by its suffix: transaction_id, score, decision, threshold, reasons (JSON), model_version,
            threshold_version.
        params: ``stream``: how many reasons and on which decisions, and the thresholds file, if there is one; with a
            checkpoint its group, topic and number of partitions.
        history: what the cards did before: a data set folder or a file of transactions. Where it holds rows of the
            file, it ends before the first of them.
        checkpoint: a worker's checkpoint folder.
        profiles: the merchant tables; without them every merchant is unknown.
        with_features: add the features, and where they are known card_id and event_time: what `fraudline drift` reads.
        jobs: threads that the model runs on; features are made by one. The result is the same.

    Returns:
        ``rows``, ``reviews``, ``blocks`` and ``model_version``.

    Raises:
        SchemaError: a column or value is wrong (says file, row and column).
        StateError: the checkpoint is damaged or of another feature specification, or the thresholds file was changed by
            hand or is of another model.
        UsageError: the arguments do not go together.
    """
    kind = _SUFFIXES.get(out.suffix.lower())
    if kind is None:
        raise UsageError(f"{out} is neither CSV nor parquet.", "End it in .csv or .parquet.")
    if history is not None and checkpoint is not None:
        raise UsageError("History and checkpoint are two beginnings.", "Give one of them.")
    artifact = load_artifact(model)
    held = artifact.thresholds
    if params.stream.thresholds:
        held = ThresholdLog.read(Path(params.stream.thresholds), artifact.digest).newest.thresholds
    rows, counts = 0, np.zeros(len(DECISIONS), np.int64)
    try:
        with atomic_file(out) as temporary, ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(jobs))
            judge = _Judge(artifact, held, params.stream, with_features=with_features, pool=pool)
            writer: Any = None
            for chunk, keys, features in _featured(file, artifact, history, checkpoint, profiles, params):
                table, decisions = judge.decide(keys if with_features else keys.select(["transaction_id"]), features)
                writer = writer or stack.enter_context(_writer(kind, temporary, table.schema))
                writer.write_table(table)
                rows, counts = rows + len(decisions), counts + np.bincount(decisions, minlength=len(DECISIONS))
                LISTENER.get()(rows, chunk.share)
    except SchemaError as error:
        told = error.action.removesuffix(".")
        raise SchemaError(error.problem, f"{told}; nothing was written.") from error
    reviews, blocks = counts[1:].tolist()
    result = {"rows": rows, "reviews": reviews, "blocks": blocks, "model_version": artifact.version}
    log.info("score.done", out=str(out), **result)
    return result


def _writer(kind: str, path: Path, schema: pa.Schema) -> Any:
    return pa_csv.CSVWriter(path, schema) if kind == "csv" else pq.ParquetWriter(path, schema, compression="zstd")


def _featured(
    file: Path,
    artifact: Artifact,
    history: Path | None,
    checkpoint: Path | None,
    profiles: Path | None,
    params: Params,
) -> Iterator[tuple[Chunk, pa.Table, NDArray[np.float32]]]:
    """Each chunk with its keys (``transaction_id``; ``card_id`` and ``event_time`` where known) and (n, d) features."""
    spec = artifact.card_spec
    engine: _Engine | None = None
    for chunk in chunks(file):
        present = chunk.names
        if present >= set(spec.names):
            if history is not None or checkpoint is not None or profiles is not None:
                raise UsageError(f"{file} has feature rows already.", "Leave out history, checkpoint and profiles.")
            keys = {"transaction_id": _ids(chunk)} | {name: chunk.table[name] for name in _KEYS[1:] if name in present}
            yield chunk, pa.table(keys), feature_rows(chunk, spec)
            continue
        _check_names(chunk, spec)
        transactions = transaction_rows(chunk)
        if engine is None:
            if history is None and checkpoint is None or profiles is None:
                log.warning("score.without_past", note="cards are new without --history, merchants without --profiles")
            tables = ProfileTable.load(profiles, spec) if profiles is not None else None
            engine = (
                _OfCheckpoint(spec, tables, checkpoint, params)
                if checkpoint
                else _OfHistory(spec, tables, history, file)
            )
        yield chunk, transactions.select(_KEYS), engine.advance(transactions)


def _check_names(chunk: Chunk, spec: FeatureSpec) -> None:
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
        transaction_id=_ids(chunk),
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


def _ids(chunk: Chunk) -> pa.Array:
    if "transaction_id" in chunk.names:
        return reading.strings(chunk.column("transaction_id"))
    first = chunk.before + chunk.first
    return pa.array([f"row-{first + row}" for row in range(1, chunk.table.num_rows + 1)], pa.string())


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


def past_of(history: Path, own: pa.Array) -> pa.Table:
    """The history, up to the first row that is the file's own: a day of a data set comes after the days before it."""
    past = all_transactions(history)
    first = pc.index(pc.is_in(past["transaction_id"], value_set=own), True).as_py()
    if first < 0:
        return past
    log.info("score.history_cut", history=str(history), rows=first, left_out=past.num_rows - first)
    return past.slice(0, first)


class _Engine(Protocol):
    """Features of transactions, in the order of the calls."""

    def advance(self, transactions: pa.Table) -> NDArray[np.float32]: ...


class _OfHistory:
    """One engine, which has seen the history before the file."""

    def __init__(self, spec: FeatureSpec, profiles: ProfileTable | None, history: Path | None, file: Path) -> None:
        self._engine = FeatureEngine(spec, profiles)
        if history is not None:
            named = [chunk for chunk in chunks(file, ["transaction_id"]) if chunk.names]
            own = pa.concat_arrays([_ids(chunk) for chunk in named]) if named else pa.array([], pa.string())
            self._engine.advance(columns_from_table(past_of(history, own)))

    def advance(self, transactions: pa.Table) -> NDArray[np.float32]:
        return self._engine.advance(columns_from_table(transactions))


class _OfCheckpoint:
    """An engine a partition, each restored from its checkpoint when its first row comes."""

    def __init__(self, spec: FeatureSpec, profiles: ProfileTable | None, folder: Path, params: Params) -> None:
        topics, keys = params.stream.topics, key_wrapper(params.stream.encryption)
        if any(folder.glob(_CHECKPOINTS)):  # the group's own folder
            self._store = CheckpointStore(folder.parent, group=folder.name, topic=topics.transactions, keys=keys)
        else:
            self._store = CheckpointStore(folder, group=params.stream.group, topic=topics.transactions, keys=keys)
        if not any(self._store.path(partition).exists() for partition in range(topics.partitions)):
            raise StateError(
                f"{folder} has no checkpoint of {topics.transactions}.", "Name the worker's checkpoint_dir."
            )
        if self._store.path(topics.partitions).exists():
            problem = f"{folder} has checkpoints beyond the {topics.partitions} partitions of params.yaml."
            raise StateError(problem, "Set stream.topics.partitions to the topic's number.")
        self._partitions = topics.partitions
        self._spec, self._profiles = spec, profiles
        self._engines: dict[int, FeatureEngine] = {}

    def advance(self, transactions: pa.Table) -> NDArray[np.float32]:
        cards = transactions["card_id"].combine_chunks().dictionary_encode()
        keys = [card.encode() for card in cards.dictionary.to_pylist()]
        of_row = np.array(partitions_of(keys, self._partitions), np.int64)[cards.indices.to_numpy()]
        features = np.empty((transactions.num_rows, len(self._spec.names)), np.float32)
        for partition in np.unique(of_row).tolist():
            mine = of_row == partition
            engine = self._engines.get(partition) or self._restored(partition)
            features[mine] = engine.advance(columns_from_table(transactions.filter(pa.array(mine))))
        return features

    def _restored(self, partition: int) -> FeatureEngine:
        engine = self._engines[partition] = FeatureEngine(self._spec, self._profiles)
        saved = self._store.load(partition)
        if saved is not None:
            engine.restore(saved.state)
        return engine


class _Judge:
    """Scores, decisions and reasons of feature rows, as a table."""

    def __init__(
        self, artifact: Artifact, thresholds: Thresholds, params: StreamParams, *, with_features: bool, pool: Executor
    ) -> None:
        self._artifact, self._thresholds, self._with_features = artifact, thresholds, with_features
        self._pool = pool
        self._scoring = InProcessScoring(artifact, lambda: thresholds, explain_all=params.reasons_on == "all")
        self._reasons = params.reasons
        self._wording = Wording.of(artifact.spec)

    def decide(self, keys: pa.Table, features: NDArray[np.float32]) -> tuple[pa.Table, NDArray[np.int8]]:
        """The table to write of some rows, and the decision on each."""
        n, names = len(features), self._artifact.spec.names
        parts = [features[start : start + _ROWS_A_CALL] for start in range(0, n, _ROWS_A_CALL)]
        scored = joined(list(self._pool.map(self._scoring.score, parts)))
        explained = np.arange(n) if scored.explained is None else scored.explained
        texts = np.full(n, "[]", dtype=object)
        texts[explained] = self._texts(features[explained], scored.contributions, scored.expected)
        columns: dict[str, Any] = {
            **{name: keys[name] for name in keys.column_names},
            "score": scored.score.astype(np.float64),
            "decision": scored.decision,
            "threshold": scored.threshold,
            "reasons": pa.array(texts, pa.string()),
            "model_version": scored.model_version,
            "threshold_version": scored.threshold_version,
        }
        if self._with_features:
            columns |= {name: features[:, j] for j, name in enumerate(names)}
        return pa.table(columns), decide(scored.score, self._thresholds)

    def _texts(
        self, rows: NDArray[np.float32], contributions: NDArray[np.float32], expected: NDArray[np.float32]
    ) -> list[str]:
        names = tuple(self._artifact.spec.names)
        found = top_reasons(names, contributions, rows, expected, self._reasons, wording=self._wording)
        return [json.dumps([reason._asdict() for reason in row]) for row in found]
