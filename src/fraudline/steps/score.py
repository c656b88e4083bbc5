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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.errors import SchemaError, UsageError
from fraudline.core.files import atomic_file
from fraudline.core.log import get_logger
from fraudline.decide.policy import DECISIONS, Thresholds, decide
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.reasons import top_reasons
from fraudline.model.wording import Wording
from fraudline.steps.params import Params
from fraudline.steps.score_past import Engine, OfCheckpoint, OfHistory
from fraudline.steps.score_rows import check_names, feature_rows, ids, transaction_rows
from fraudline.steps.score_source import Chunk, chunks
from fraudline.stream.params import StreamParams
from fraudline.stream.scoring import InProcessScoring, joined

log = get_logger(__name__)

LISTENER: ContextVar[Callable[[int, float], None]] = ContextVar("listener", default=lambda rows, share: None)
"""Told after each chunk: rows scored, and the share of the file, from 0 to 1."""

_ROWS_A_CALL = 1_024
"""What one row's arithmetic needs stays in the processor's cache."""

_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
_KEYS = ("transaction_id", "card_id", "event_time")


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
            judge = Judge(artifact, held, params.stream, with_features=with_features, pool=pool)
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
    engine: Engine | None = None
    for chunk in chunks(file):
        present = chunk.names
        if present >= set(spec.names):
            if history is not None or checkpoint is not None or profiles is not None:
                raise UsageError(f"{file} has feature rows already.", "Leave out history, checkpoint and profiles.")
            keys = {"transaction_id": ids(chunk)} | {name: chunk.table[name] for name in _KEYS[1:] if name in present}
            yield chunk, pa.table(keys), feature_rows(chunk, spec)
            continue
        check_names(chunk, spec)
        transactions = transaction_rows(chunk)
        if engine is None:
            if history is None and checkpoint is None or profiles is None:
                log.warning("score.without_past", note="cards are new without --history, merchants without --profiles")
            tables = ProfileTable.load(profiles, spec) if profiles is not None else None
            engine = (
                OfCheckpoint(spec, tables, checkpoint, params) if checkpoint else OfHistory(spec, tables, history, file)
            )
        yield chunk, transactions.select(_KEYS), engine.advance(transactions)


class Judge:
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
