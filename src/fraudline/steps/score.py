"""Score a file offline: what the stream decides on the same rows, and the endpoint on the same features.

A file of transactions (the columns of ``data.schema.TRANSACTIONS``) gets its features from the engine, in the file's
order, after the ``history`` before it or from a worker's ``checkpoint``. A file that has every column of the model's
feature specification is scored as it is.
"""

import json
from pathlib import Path
from typing import Any

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
from fraudline.data.importers.source import Column, column, read_source
from fraudline.data.store import read_transactions
from fraudline.decide.policy import DECISIONS, Thresholds, decide, threshold_of
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.features.spec import FeatureSpec
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.scorer import Scorer
from fraudline.model.wording import Wording
from fraudline.steps.params import Params
from fraudline.stream.checkpoint import CheckpointStore
from fraudline.stream.partitioning import partitions_of

log = get_logger(__name__)

_CHUNK = 65_536
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
) -> dict[str, Any]:
    """Score every row of a file.

    Args:
        file: CSV or parquet, of transactions or of feature rows.
        model: the artifact.
        out: CSV or parquet by its suffix: transaction_id, score, decision, threshold, reasons (JSON), model_version,
            threshold_version.
        params: ``stream``: the reasons a row and the thresholds file, if there is one; with a checkpoint its group,
            topic and number of partitions.
        history: what the cards did before: a data set folder or a file of transactions. Where it holds rows of the
            file, it ends before the first of them.
        checkpoint: a worker's checkpoint folder.
        profiles: the daily merchant tables; without them every merchant is unknown.
        with_features: add the features, and where they are known card_id and event_time: what `fraudline drift` reads.

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
    try:
        source = read_source(file)
        keys, features = _rows(file, source, artifact.card_spec, history, checkpoint, profiles, params)
    except SchemaError as error:
        raise SchemaError(error.problem, "Correct the file; nothing was written.") from error
    if not with_features:
        keys = keys.select(["transaction_id"])
    table, decisions = _decide(artifact, held, keys, features, params.stream.reasons, with_features)
    with atomic_file(out) as temporary:
        if kind == "csv":
            pa_csv.write_csv(table, temporary)
        else:
            pq.write_table(table, temporary, compression="zstd")
    counts = np.bincount(decisions, minlength=len(DECISIONS)).tolist()
    result = {"rows": len(decisions), "reviews": counts[1], "blocks": counts[2], "model_version": artifact.version}
    log.info("score.done", out=str(out), **result)
    return result


def _rows(
    file: Path,
    source: pa.Table,
    spec: FeatureSpec,
    history: Path | None,
    checkpoint: Path | None,
    profiles: Path | None,
    params: Params,
) -> tuple[pa.Table, NDArray[np.float32]]:
    """Keys (``transaction_id``; ``card_id`` and ``event_time`` where they are known), and (n, d) float32 features."""
    present = set(source.column_names)
    if present >= set(spec.names):
        if history is not None or checkpoint is not None or profiles is not None:
            raise UsageError(f"{file} has feature rows already.", "Leave out history, checkpoint and profiles.")
        keys = {"transaction_id": _ids(file, source)}
        keys |= {name: source[name] for name in _KEYS[1:] if name in present}
        return pa.table(keys), feature_rows(file, source, spec)
    lacking = [name for name in _REQUIRED if name not in present]
    if lacking and present & set(spec.names):
        lacking = [name for name in spec.names if name not in present]
    if lacking:
        raise SchemaError(
            f"{file} has no column {lacking[0]}; it has {', '.join(source.column_names)}.", "Give transactions."
        )
    transactions = transaction_rows(file, source)
    tables = ProfileTable.load(profiles, spec) if profiles is not None else None
    if checkpoint is not None:
        features = _from_checkpoint(transactions, spec, tables, checkpoint, params)
    else:
        engine = FeatureEngine(spec, tables)
        if history is not None:
            own = transactions["transaction_id"] if "transaction_id" in present else pa.chunked_array([], pa.string())
            engine.advance(columns_from_table(past_of(history, own.combine_chunks())))
        features = engine.advance(columns_from_table(transactions))
    return transactions.select(_KEYS), features


def feature_rows(file: Path, source: pa.Table, spec: FeatureSpec) -> NDArray[np.float32]:
    """The feature columns of a file, (n, d) float32 in the order of ``spec.names``.

    Raises:
        SchemaError: a column is missing, or a value is not a finite 32-bit number (says row and column).
    """
    matrix = np.empty((source.num_rows, len(spec.names)), np.float32)
    for j, name in enumerate(spec.names):
        given = column(file, source, name)
        values = reading.decimals(given)
        reading.refuse(given, np.abs(values) > np.finfo(np.float32).max, "a 32-bit number")
        matrix[:, j] = values
    return matrix


def transaction_rows(file: Path, source: pa.Table) -> pa.Table:
    """Rows of ``schema.TRANSACTIONS`` in the file's order; nullable columns may be missing.

    ``event_time`` is a timestamp, an ISO 8601 text (UTC without an offset), or whole microseconds since the epoch.

    Raises:
        SchemaError: a column is missing or a value is wrong (says row and column).
    """
    present = set(source.column_names)

    def given(name: str) -> Column:
        return column(file, source, name)

    amount = reading.whole_numbers(given("amount_minor"))
    reading.refuse(given("amount_minor"), amount < 0, "an amount that is not negative")
    optional = {}
    for name in ("country", "device_id"):
        if name in present:
            optional[name] = reading.optional_strings(given(name))
    for name, bound in (("latitude", 90.0), ("longitude", 180.0)):
        if name in present:
            optional[name] = reading.optional_decimals(given(name), -bound, bound)
    table = build_transactions(
        transaction_id=_ids(file, source),
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
        log.warning("score.order", file=str(file), note="rows are not in time order; they are taken as they come")
    return table


def _ids(file: Path, source: pa.Table) -> pa.Array:
    if "transaction_id" in source.column_names:
        return reading.strings(column(file, source, "transaction_id"))
    return pa.array([f"row-{row}" for row in range(1, source.num_rows + 1)], pa.string())


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
    past = read_transactions(history) if history.is_dir() else transaction_rows(history, read_source(history))
    first = pc.index(pc.is_in(past["transaction_id"], value_set=own), True).as_py()
    if first < 0:
        return past
    log.info("score.history_cut", history=str(history), rows=first, left_out=past.num_rows - first)
    return past.slice(0, first)


def _from_checkpoint(
    transactions: pa.Table, spec: FeatureSpec, profiles: ProfileTable | None, folder: Path, params: Params
) -> NDArray[np.float32]:
    """Each partition's rows go through the engine restored from its checkpoint, in the file's order."""
    topics, wrapper = params.stream.topics, key_wrapper(params.stream.encryption)
    if any(folder.glob(_CHECKPOINTS)):  # the group's own folder
        store = CheckpointStore(folder.parent, group=folder.name, topic=topics.transactions, keys=wrapper)
    else:
        store = CheckpointStore(folder, group=params.stream.group, topic=topics.transactions, keys=wrapper)
    if not any(store.path(partition).exists() for partition in range(topics.partitions)):
        raise StateError(f"{folder} has no checkpoint of {topics.transactions}.", "Name the worker's checkpoint_dir.")
    if store.path(topics.partitions).exists():
        problem = f"{folder} has checkpoints beyond the {topics.partitions} partitions of params.yaml."
        raise StateError(problem, "Set stream.topics.partitions to the topic's number.")
    cards = transactions["card_id"].combine_chunks().dictionary_encode()
    keys = [card.encode() for card in cards.dictionary.to_pylist()]
    of_card = np.array(partitions_of(keys, topics.partitions), np.int64)
    of_row = of_card[cards.indices.to_numpy()]
    features = np.empty((transactions.num_rows, len(spec.names)), np.float32)
    for partition in np.unique(of_row).tolist():
        engine = FeatureEngine(spec, profiles)
        saved = store.load(partition)
        if saved is not None:
            engine.restore(saved.state)
        mine = of_row == partition
        features[mine] = engine.advance(columns_from_table(transactions.filter(pa.array(mine))))
    return features


def _decide(
    artifact: Artifact,
    thresholds: Thresholds,
    keys: pa.Table,
    features: NDArray[np.float32],
    reasons: int,
    with_features: bool,
) -> tuple[pa.Table, NDArray[np.int8]]:
    """The table to write, and the decision of each row."""
    scorer, names = Scorer(artifact), tuple(artifact.spec.names)
    scores = np.empty(len(features), np.float64)
    decisions = np.empty(len(features), np.int8)
    texts: list[str] = []
    wording = Wording.of(artifact.spec)
    for start in range(0, len(features), _CHUNK):
        part = slice(start, start + _CHUNK)
        found = scorer.score(features[part])
        scores[part], decisions[part] = found.score, decide(found.score, thresholds)
        rows = top_reasons(names, found.contributions, features[part], found.expected, reasons, wording=wording)
        texts += [json.dumps([reason._asdict() for reason in row]) for row in rows]
        log.debug("score.progress", rows=min(start + _CHUNK, len(features)), of=len(features))
    limits = [threshold_of(index, thresholds) for index in range(len(DECISIONS))]
    columns: dict[str, Any] = {
        **{name: keys[name] for name in keys.column_names},
        "score": scores,
        "decision": np.array(DECISIONS, dtype=object)[decisions],
        "threshold": np.array(limits)[decisions],
        "reasons": pa.array(texts, pa.string()),
        "model_version": np.full(len(features), artifact.version, dtype=object),
        "threshold_version": np.full(len(features), thresholds.version, dtype=object),
    }
    if with_features:
        columns |= {name: features[:, j] for j, name in enumerate(names)}
    return pa.table(columns), decisions
