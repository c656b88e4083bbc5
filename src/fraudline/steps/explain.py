"""Why one transaction got its score: every feature's share, what was expected, and what the card did before.

    explain(transaction_id="t-17", model=Path("artifacts/<digest>"), params=params, dataset=Path("data"))

The features are made by the kernel from everything before the transaction, as the worker made them; or they are taken
as they were recorded on its decision. The shares are those of the model's graph: nothing is sampled, and they sum to
the score.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.documents import parse_json
from fraudline.core.errors import DataError, StateError, UsageError
from fraudline.core.files import write_text
from fraudline.core.log import get_logger
from fraudline.core.words import counted
from fraudline.data.store import read_labels, read_transactions
from fraudline.decide.policy import DECISIONS, decide
from fraudline.decide.threshold_log import ThresholdLog
from fraudline.features.columns import columns_from_table
from fraudline.features.engine import FeatureEngine
from fraudline.features.profiles import ProfileTable
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.model.card import expected_is
from fraudline.model.scorer import Scorer, Scores
from fraudline.model.thresholds import Thresholds
from fraudline.model.wording import Wording
from fraudline.monitor.window import PARQUET
from fraudline.steps.params import Params

log = get_logger(__name__)

_HISTORY = 10
_A_LINE = "Give one decision a line, as JSON."
_WINDOW_DAYS = 30  # the longest window of a card's features


def explain(
    *,
    transaction_id: str,
    model: Path,
    params: Params,
    dataset: Path | None = None,
    decisions: Path | None = None,
    profiles: Path | None = None,
    thresholds: Path | None = None,
    page: Path | None = None,
) -> dict[str, Any]:
    """Explain one score.

    Args:
        transaction_id: which transaction.
        model: the artifact.
        params: ``stream.reasons``: how many reasons are named.
        dataset: the data set that holds the transaction and what came before it.
        decisions: JSON lines of the topic ``decisions``, or parquet, instead of a data set: the features recorded there
            are scored.
        profiles: the merchant tables; without them every merchant is unknown.
        thresholds: a thresholds file whose newest line holds, instead of the model's own.
        page: an HTML page to write.

    Returns:
        ``transaction``, ``score``, ``decision``, ``thresholds``, ``reasons``, ``features`` (largest contribution
        first), ``expected_is`` (what their expected values are), ``rank`` (share of the validation scores below) and,
        from a data set, ``history`` and ``label``.

    Raises:
        UsageError: neither or both of data set and decisions are given.
        DataError: the transaction is not there.
        StateError: the decision was made with another feature specification, or the thresholds are another model's.
    """
    if (dataset is None) == (decisions is None):
        raise UsageError("A transaction is found in a data set or in decisions.", "Give one of --data and --decisions.")
    artifact = load_artifact(model)
    held = (
        artifact.thresholds if thresholds is None else ThresholdLog.read(thresholds, artifact.digest).newest.thresholds
    )
    found = (
        _in_dataset(transaction_id, dataset, artifact, profiles)
        if dataset is not None
        else _in_decisions(transaction_id, decisions or Path(), artifact)
    )
    scores = Scorer(artifact).score(found.features)
    document = _document(found, scores, artifact, held, params.stream.reasons)
    if page is not None:
        from fraudline.steps.explain_page import explain_page

        write_text(page, explain_page(document))
    log.info("explain.done", transaction_id=transaction_id, score=document["score"], decision=document["decision"])
    return document


def explain_decision(row: Mapping[str, Any], artifact: Artifact, held: Thresholds, named: int) -> dict[str, Any]:
    """Explain a decision by the features recorded on it.

    Args:
        row: the decision, as its topic has it.
        artifact: the model that decided.
        held: the thresholds that held.
        named: reasons to name.

    Returns:
        What :func:`explain` returns.

    Raises:
        StateError: the decision was made with another feature specification.
    """
    found = _of_decision(row, artifact)
    return _document(found, Scorer(artifact).score(found.features), artifact, held, named)


@dataclass(frozen=True)
class _Found:
    """The transaction's row, and those of its card before it.

    Attributes:
        transaction: its fields, or those of its decision.
        features: (k, d) float32, the last row is the transaction's.
        history: k - 1 earlier transactions of the card, oldest first.
        label: what is known of it; None when nothing is.
        recorded: the score on its decision; None from a data set.
    """

    transaction: dict[str, Any]
    features: NDArray[np.float32]
    history: list[dict[str, Any]]
    label: dict[str, Any] | None = None
    recorded: float | None = None


def _in_dataset(wanted: str, dataset: Path, artifact: Artifact, profiles: Path | None) -> _Found:
    table = read_transactions(dataset)
    at = pc.index(table["transaction_id"], wanted).as_py()
    if at < 0:
        raise DataError(f"{dataset} has no transaction {wanted}.", "Check the id, or name the data set that has it.")
    table = table.slice(0, at + 1)
    tables = ProfileTable.load(profiles, artifact.card_spec) if profiles is not None else None
    if tables is None:
        log.warning("explain.profiles", note="no merchant profiles are given: every merchant counts as unknown")
    features = FeatureEngine(artifact.card_spec, tables).advance(columns_from_table(table))
    _warn_of_history(table)
    mine = pc.equal(table["card_id"], table["card_id"][at]).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(mine)[-_HISTORY - 1 :]
    seen = [_plain(row) for row in table.take(pa.array(rows)).to_pylist()]
    return _Found(seen[-1], features[rows], seen[:-1], _label(dataset, wanted))


def _warn_of_history(table: pa.Table) -> None:
    """Say it where the last transaction of a table has too little before it for its features to be the worker's."""
    card, times = table["card_id"], pc.cast(table["event_time"], pa.int64())
    days = (times[-1].as_py() - pc.min(times).as_py()) / DAY_US
    if pc.sum(pc.equal(card, card[-1])).as_py() == 1:
        note = "the data set has no earlier transaction of the card: its features are those of a first one"
    elif days < _WINDOW_DAYS:
        note = f"the data set begins {days:.0f} days before it, features look back {_WINDOW_DAYS}: windows are not full"
    else:
        return
    log.warning("explain.history", note=note)


def finder(wanted: str) -> Callable[[bytes], bool]:
    """Whether JSON may hold this text, as a look that is quicker than decoding it; writers differ beyond ASCII."""
    plain, escaped = (json.dumps(wanted, ensure_ascii=only).encode("utf-8", "surrogatepass") for only in (False, True))
    return lambda content: plain in content or escaped in content


def _in_decisions(wanted: str, decisions: Path, artifact: Artifact) -> _Found:
    rows = (_in_parquet if decisions.suffix.lower() in PARQUET else _in_lines)(wanted, decisions)
    row = next((row for row in reversed(rows) if row.get("transaction_id") == wanted), None)
    if row is None:
        raise DataError(f"{decisions} has no decision on {wanted}.", "Check the id, or take the decisions of its day.")
    return _of_decision(row, artifact)


def _in_lines(wanted: str, decisions: Path) -> list[dict[str, Any]]:
    holds = finder(wanted)
    try:
        with decisions.open("rb") as lines:
            named = ((line, f"{decisions}:{number}") for number, line in enumerate(lines, 1) if holds(line))
            return [row for line, name in named if isinstance(row := parse_json(line, name, action=_A_LINE), dict)]
    except OSError as error:
        raise DataError(f"{decisions} cannot be read: {error}.", _A_LINE) from error


def _in_parquet(wanted: str, decisions: Path) -> list[dict[str, Any]]:
    kept = [("transaction_id", "==", wanted)]
    try:
        return list(pq.read_table(decisions, filters=kept, partitioning=None).to_pylist())
    except (OSError, pa.ArrowException) as error:
        problem = f"{decisions} cannot be read, or has no texts as transaction_id: {error}."
        raise DataError(problem, "Give decisions as the topic or `fraudline score` writes them.") from error


def _gathered(row: Mapping[str, Any], artifact: Artifact) -> Mapping[str, Any]:
    """A decision whose features are a column each, as `score --with-features` writes them, as its topic has it."""
    if "features" in row:
        return row
    if missing := [name for name in artifact.spec.names if name not in row]:
        problem = f"The decision lacks {counted(len(missing), 'features')} of the model, {missing[0]} for one."
        raise DataError(problem, "Write it with `fraudline score --with-features`, by the same model.")
    return {"spec_version": artifact.spec.version, **row, "features": [row[name] for name in artifact.spec.names]}


def _of_decision(row: Mapping[str, Any], artifact: Artifact) -> _Found:
    row = _gathered(row, artifact)
    try:
        features, score = np.asarray(row.get("features") or [], np.float32), float(row["score"])
    except (KeyError, TypeError, ValueError) as error:
        problem = f"The decision on {row.get('transaction_id')} has no number as its score, or none as a feature."
        raise DataError(problem, "Give it as the worker wrote it.") from error
    if row.get("spec_version") != artifact.spec.version or features.shape != (len(artifact.spec.names),):
        raise StateError(
            f"The decision on {row.get('transaction_id')} has features of the specification {row.get('spec_version')}, "
            f"the model of {artifact.spec.version}.",
            f"Name the model that decided ({row.get('model_version')}), or find the transaction with --data.",
        )
    shown = ("transaction_id", "card_id", "merchant_id", "amount_minor", "currency", "event_time", "model_version")
    transaction = _plain({name: row[name] for name in shown if name in row})
    return _Found(transaction, features[None, :], [], recorded=score)


def _document(found: _Found, scores: Scores, artifact: Artifact, held: Thresholds, named: int) -> dict[str, Any]:
    score = float(scores.score[-1])
    decision = DECISIONS[int(decide(scores.score[-1:], held)[0])]
    features = _shares(found, scores, artifact)
    history = [
        {**row, "score": round(float(score_), 4), "decision": DECISIONS[int(index)]}
        for row, score_, index in zip(found.history, scores.score[:-1], decide(scores.score[:-1], held), strict=True)
    ]
    return {
        "transaction": found.transaction,
        "score": score,
        "decision": decision,
        "recorded_score": found.recorded,
        "rank": _rank(artifact, score),
        "model_version": artifact.version,
        "spec_version": artifact.spec.version,
        "thresholds": held.model_dump(mode="json"),
        "reasons": [entry["text"] for entry in features[:named] if entry["contribution"] > 0],
        "features": features,
        "expected_is": expected_is(artifact.meta.architecture),
        "sum_of_contributions": float(scores.contributions[-1].sum(dtype=np.float64)),
        "history": history,
        "label": found.label,
    }


def _shares(found: _Found, scores: Scores, artifact: Artifact) -> list[dict[str, Any]]:
    """Every feature, largest contribution first."""
    wording = Wording.of(artifact.spec)
    parts, values, usual = scores.contributions[-1], found.features[-1], scores.expected[-1]
    total = float(scores.score[-1])
    entries = []
    for j in np.argsort(-parts, kind="stable").tolist():
        feature, value, expected = artifact.spec.features[j], float(values[j]), float(usual[j])
        entries.append(
            {
                "feature": feature.name,
                "meaning": feature.meaning,
                "unit": feature.unit,
                "value": value,
                "expected": expected,
                "said": wording.said(j, value),
                "said_expected": wording.said(j, expected),
                "contribution": float(parts[j]),
                "share": float(parts[j]) / total if total > 0 else 0.0,
                "text": wording.sentence(j, value, expected),
            }
        )
    return entries


def _rank(artifact: Artifact, score: float) -> float | None:
    """Share of the validation scores below, from the artifact's reference; None when it has none."""
    if "reference/score.parquet" not in artifact.content:
        return None
    bins = artifact.table("reference/score.parquet")
    below = pc.less_equal(bins["upper"], score)
    return round(float(pc.sum(bins["share"].filter(below)).as_py() or 0.0), 6)


def _label(dataset: Path, wanted: str) -> dict[str, Any] | None:
    labels = read_labels(dataset)
    at = pc.index(labels["transaction_id"], wanted).as_py()
    return _plain(labels.slice(at, 1).to_pylist()[0]) if at >= 0 else None


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Times as ISO texts; what is absent is left out."""
    plain = {}
    for name, value in row.items():
        if name in ("event_time", "label_time"):
            at = from_us(value) if isinstance(value, int) else value
            plain[name] = at.isoformat(timespec="seconds") if isinstance(at, datetime) else at
        elif value is not None:
            plain[name] = round(value, 5) if isinstance(value, float) else value
    return plain
