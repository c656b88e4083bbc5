"""One decision traced back: to its record, its model, the run and the code and the data that the model came from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fraudline.core.clock import from_us, to_us
from fraudline.core.documents import parse_json
from fraudline.core.errors import (
    ArtifactError,
    DataError,
    FraudlineError,
    StateError,
    UsageError,
    without_passwords,
)
from fraudline.core.files import read_json
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.thresholds import Thresholds
from fraudline.ops.audit.trail import Trail
from fraudline.ops.provenance import file_at
from fraudline.ops.store import provenance_file
from fraudline.steps.explain import explain_decision, finder
from fraudline.steps.params import Params
from fraudline.stream.sealing import keys_at_hand
from fraudline.stream.topic_reader import read_topic

_SAME_SCORE = 1e-4
"""Largest difference between the recorded score and the artifact's own: another machine may sum in another order."""


@dataclass(frozen=True)
class Traced:
    """A decision and where it was found.

    Attributes:
        decision: its fields.
        record: file and row, or topic, partition, offset and time of append; with the row's hash where there is one.
    """

    decision: dict[str, Any]
    record: dict[str, Any]


def find_decision(transaction_id: str, source: Path | None, params: Params) -> Traced:
    """The newest decision on a transaction.

    Args:
        transaction_id: which.
        source: an exported trail, JSON lines or parquet; None for the topic.
        params: ``stream``: broker and topic.

    Raises:
        DataError: there is none, or the file cannot be read.
        UnavailableError: the broker does not answer.
    """
    found: Iterator[Traced]
    if source is None:
        found, name = _in_topic(transaction_id, params), params.stream.topics.decisions
    elif source.is_dir():
        found, name = _in_trail(transaction_id, source), str(source)
    else:
        found, name = _in_file(transaction_id, source), str(source)
    newest = None
    for newest in found:  # noqa: B007 - the last one is meant
        pass
    if newest is None:
        raise DataError(f"{name} has no decision on {transaction_id}.", "Check the id, or name where it was kept.")
    return newest


def story_of(traced: Traced, *, store: Path, thresholds: Path | None, params: Params) -> dict[str, Any]:
    """Everything that led to a decision, as one document.

    Args:
        traced: the decision.
        store: folder of artifacts by digest.
        thresholds: a thresholds file, where thresholds were changed between two models.
        params: ``registry`` says where the run is tracked, ``stream.reasons`` how many reasons are named.

    Returns:
        ``decision``, ``card``, ``record``, ``times``, ``model``, ``thresholds``, ``data``, ``code``, ``run``, ``gate``
        and ``score`` (computed again from the recorded features). A part that cannot be found holds ``missing``: why.
    """
    decision = dict(traced.decision)
    document: dict[str, Any] = {
        "decision": decision,
        "card": _card(decision, params),
        "record": traced.record,
        "times": _times(decision),
    }
    try:
        artifact = stored_artifact(str(decision.get("model_version", "")), store)
    except FraudlineError as error:
        missing = {"missing": f"{error.problem} {error.action}"}
        return document | dict.fromkeys(("model", "thresholds", "data", "code", "run", "gate", "score"), missing)
    path = provenance_file(artifact.path)
    provenance = read_json(path) if path.is_file() else {}
    held, thresholds_part = _thresholds(decision, artifact, thresholds)
    return document | {
        "model": {
            "version": artifact.version,
            "digest": artifact.digest,
            "verified": True,
            "artifact": str(artifact.path),
            "kind": str(artifact.meta.architecture.get("kind", "")),
            "packaged_at": provenance.get("packaged_at"),
            "metrics": {k: v for k, v in provenance.get("metrics", {}).items() if k in _METRICS},
        },
        "thresholds": thresholds_part,
        "data": {"md5": artifact.meta.data_md5, "trained_on": artifact.meta.trained_on.model_dump()},
        "code": _code(provenance, artifact.meta.data_md5),
        "run": _run(provenance, params),
        "gate": _gate(provenance),
        "score": _score(decision, artifact, held, params),
    }


_METRICS = ("ap", "roc_auc", "precision", "recall", "alert_rate")


def stored_artifact(version: str, store: Path) -> Artifact:
    """The artifact of a model version, verified.

    Raises:
        ArtifactError: the store has none, or it was changed.
    """
    entries = sorted(store.glob(f"{version}*/")) if version.isalnum() and store.is_dir() else []
    entries = [entry for entry in entries if entry.is_dir()]
    if len(entries) != 1:
        raise ArtifactError(
            f"{store} has {len(entries) or 'no'} models {version or '(none is named)'}.",
            "Name the store that has it (--store).",
        )
    return load_artifact(entries[0], entries[0].name)


def _in_topic(wanted: str, params: Params) -> Iterator[Traced]:
    holds = finder(wanted)
    for record in read_topic(params.stream, params.stream.topics.decisions):
        if holds(record.value or b"") and (decision := _mine(record.value, wanted)):
            place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            yield Traced(decision, place | {"appended": from_us(record.timestamp_ms * 1000).isoformat()})


def _in_trail(wanted: str, folder: Path) -> Iterator[Traced]:
    trail = Trail.open(folder)
    if not trail.seals:
        raise UsageError(f"{folder} has no exported trail.", "Run `fraudline audit export`, or name a file.")
    for seal in trail.seals:
        path = folder / seal.file
        if not path.is_file():
            raise StateError(f"{path} is missing.", "Run `fraudline audit verify`.")
        for number, row in _rows_with(path, wanted):
            if decision := _mine(row["value"], wanted):
                place = {"topic": seal.topic, "partition": row["partition"], "offset": row["offset"]}
                place |= {"appended": from_us(row["appended_ms"] * 1000).isoformat()}
                yield Traced(decision, place | {"file": str(path), "row": number, "hash": row["hash"].hex()})


def _in_file(wanted: str, file: Path) -> Iterator[Traced]:
    if file.suffix == ".parquet":
        for number, row in _rows_with(file, wanted):
            value = row.get("value")
            decision = _mine(value, wanted) if isinstance(value, bytes) else _as_recorded(row)
            if decision:
                yield Traced(decision, {"file": str(file), "row": number})
        return
    holds = finder(wanted)
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if holds(line) and (decision := _mine(line, wanted)):
                    yield Traced(decision, {"file": str(file), "row": number})
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.", "Name a file of decisions.") from error


def _as_recorded(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `fraudline score` in the forms of the topic: its reasons are JSON, its time is no number."""
    reasons, when = row.get("reasons"), row.get("event_time")
    if isinstance(reasons, str):
        row = row | {"reasons": parse_json(reasons, "The reasons of the decision")}
    return row | {"event_time": to_us(when)} if isinstance(when, datetime) else row


def _rows_with(path: Path, wanted: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a transaction and their numbers from 1, read in pieces."""
    begin = 1
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                ids = file.read_row_group(group, ["transaction_id"])["transaction_id"]
                at = np.flatnonzero(pc.fill_null(pc.equal(ids, wanted), False).to_numpy())
                if len(at):
                    rows = file.read_row_group(group).take(pa.array(at)).to_pylist()
                    yield from zip((begin + at).tolist(), rows, strict=True)
                begin += len(ids)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read: {error}.", "Give decisions with transaction_id.") from error


def _mine(value: bytes | None, wanted: str) -> dict[str, Any] | None:
    try:
        decision = parse_json(value or b"", "the decision")
    except DataError:
        return None
    mine = isinstance(decision, dict) and decision.get("transaction_id") == wanted
    return decision if mine else None


def _card(decision: Mapping[str, Any], params: Params) -> dict[str, Any]:
    """The card, as far as somebody may still know it."""
    name, sealed = str(decision.get("card_id", "")), decision.get("card_sealed")
    if not sealed:
        return {"card_id": name}
    with keys_at_hand(params.stream) as keys:
        if keys is None:
            return {"pseudonym": name, "missing": "The store of card keys is not named (stream.card_keys)."}
        card = keys.opened(name, sealed)
    if card is None:
        return {"pseudonym": name, "missing": "The card was erased: its key is destroyed."}
    return {"pseudonym": name, "card_id": card.decode()}


def _times(decision: Mapping[str, Any]) -> dict[str, str]:
    names = ("event_time", "decided_at")
    return {n: from_us(decision[n]).isoformat() for n in names if isinstance(decision.get(n), int)}


def _thresholds(
    decision: Mapping[str, Any], artifact: Artifact, file: Path | None
) -> tuple[Thresholds, dict[str, Any]]:
    """The thresholds that held, and who set them."""
    version = decision.get("threshold_version")
    packaged = artifact.thresholds
    if version == packaged.version:
        return packaged, {**packaged.model_dump(mode="json"), "set_by": f"packaged with the model {artifact.version}"}
    if file is not None and file.is_file():
        for change in ThresholdLog.read(file, artifact.digest).changes:
            if change.thresholds.version == version:
                said = {"set_by": change.by, "set_at": change.at, "why": change.why, "file": str(file)}
                return change.thresholds, {**change.thresholds.model_dump(mode="json"), **said}
    missing = f"Version {version} is not the model's own ({packaged.version}): name the thresholds file (--thresholds)."
    return packaged, {"version": version, "missing": missing}


def _code(provenance: Mapping[str, Any], data_md5: str) -> dict[str, Any]:
    git = provenance.get("git")
    if not git:
        return {"missing": "The artifact has no provenance beside it."}
    said = {"revision": git["revision"], "dirty": git["dirty"]}
    pointer = file_at(git["revision"], "data.dvc")
    if pointer is not None:  # the revision itself says which data it was
        said["data_of_revision"] = f"md5: {data_md5}" in pointer
    return said


def _run(provenance: Mapping[str, Any], params: Params) -> dict[str, Any]:
    record = provenance.get("registration")
    if not record or not record.get("registered"):
        return {"missing": "The model was not registered."}
    names = ("run_id", "model", "version", "aliases", "uri")
    said = {name: record.get(name) for name in names}
    return said | {"tracking": without_passwords(params.registry.tracking_uri)}


def _gate(provenance: Mapping[str, Any]) -> dict[str, Any]:
    record = provenance.get("blessing")
    if not record:
        return {"missing": "The artifact has no provenance beside it."}
    rules = [{name: rule.get(name) for name in ("metric", "value", "bound", "passed")} for rule in record["rules"]]
    return {"blessed": record["blessed"], "champion": record.get("champion"), "rules": rules}


def _score(decision: Mapping[str, Any], artifact: Artifact, held: Thresholds, params: Params) -> dict[str, Any]:
    """The decision explained, and whether the artifact gives the recorded score on the recorded features."""
    try:
        explained = explain_decision(decision, artifact, held, params.stream.reasons)
    except (DataError, StateError) as error:
        return {"missing": error.problem}
    difference = abs(explained["score"] - float(decision["score"]))
    return {**explained, "difference": difference, "same": difference <= _SAME_SCORE}
