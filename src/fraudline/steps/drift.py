"""Step drift: a window of decisions against the traffic that the model learned from."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fraudline.core.clock import DAY_US, from_us
from fraudline.core.errors import ArtifactError, DataError, UsageError
from fraudline.core.files import atomic_folder, write_json, write_text
from fraudline.core.log import get_logger
from fraudline.model.artifact import Artifact, load_artifact
from fraudline.monitor.domain import Drawn, Sample, separation
from fraudline.monitor.drift import Comparison, Reference
from fraudline.monitor.histograms import SCORE, Bins, Count, Histograms
from fraudline.monitor.window import Piece, pieces
from fraudline.steps.drift_page import drift_page
from fraudline.steps.labelled import matrix_of
from fraudline.steps.params import Params
from fraudline.steps.performance import performance

log = get_logger(__name__)

FORMAT = 1
TOGETHER = "several features together"
_DAYS, _ROWS = "reference/days.parquet", "reference/rows.parquet"


def drift(
    *,
    decisions: Path | None,
    model: Path,
    report: Path,
    params: Params,
    days: int = 0,
    labels: Path | None = None,
    evaluation: Path | None = None,
) -> dict[str, Any]:
    """Compare a window of decisions with the reference of the model that made them.

    Args:
        decisions: file or folder of decisions, parquet or JSON lines, with features; None for the newest
            ``monitor.topic_rows`` of the topic of decisions (``params.stream``).
        model: the artifact.
        report: folder to write: ``drift.json`` and ``index.html``.
        params: ``monitor``, and ``stream`` to read the topic.
        days: the newest days to take, counted from the newest on which, with those after it, there are
            ``monitor.min_rows``; 0 for all.
        labels: the data set with the decisions' transactions and the labels that arrived, for precision and recall.
        evaluation: ``metrics.json`` of step evaluate, to compare them with.

    Returns:
        ``verdict`` (stable, drift or inconclusive), ``rows``, ``drifted`` (names; ``several features together`` for
        the classifier), ``worse`` (figures of matured labels) and the ``score_psi``.

    Raises:
        ArtifactError: the artifact has no reference of days.
        DataError: there is no row, or the reference has too few days.
        SchemaError: a file lacks a column, or a record is no decision.
        UnavailableError: the broker does not answer.
        UsageError: labels without a file of decisions.
    """
    if decisions is None and labels is not None:
        raise UsageError("Labels are joined with a file of decisions.", "Name the file, or leave out the labels.")
    artifact = load_artifact(model)
    found = _pieces(decisions, artifact, params)
    window, drawn, scored = _counted(found, artifact, params)
    if days:
        window = window.only(window.days > _newest(window, params.monitor.min_rows) - days)
    reference = _reference(artifact, scored=scored)
    comparison = reference.compare(window, params.monitor)
    document = _document(comparison, window, artifact, params)
    if comparison.verdict != "inconclusive":
        _together(document, artifact, reference, drawn.since(int(window.days[0])), params)
    if labels is not None and decisions is not None:
        document["performance"] = performance(decisions, labels, artifact.thresholds, params, evaluation)
    with atomic_folder(report) as folder:
        write_json(folder / "drift.json", document)
        write_text(folder / "index.html", drift_page(document))
    figure = next((f for f in comparison.figures if f.name == SCORE), None)
    result = {
        "verdict": document["verdict"],
        "rows": comparison.rows,
        "drifted": [each.name for each in comparison.drifted]
        + ([TOGETHER] if document["classifier"].get("drifted") else []),
        "worse": [name for name, each in document["performance"].get("figures", {}).items() if each["worse"]],
        "score_psi": None if figure is None else figure.psi,
    }
    log.info("drift.measured", model=artifact.version, why=document["why"], **result)
    return result


def _pieces(decisions: Path | None, artifact: Artifact, params: Params) -> Iterator[Piece]:
    names, version = artifact.spec.names, artifact.version
    if decisions is not None:
        return pieces(decisions, names, version)
    from fraudline.stream.decision_topic import newest_decisions

    return newest_decisions(params.stream, params.monitor.topic_rows, names, version)


def bins_of(artifact: Artifact, *, scored: bool) -> Bins:
    """The bins of an artifact's reference, with those of the score or without.

    Raises:
        ArtifactError: it has no reference of days.
    """
    if _DAYS not in artifact.content:
        raise ArtifactError(
            f"The artifact {artifact.version} has no {_DAYS}: it is from before drift was measured by day.",
            "Train again (`dvc repro train`); the other files of the artifact stay as they are.",
        )
    score = artifact.table("reference/score.parquet") if scored else None
    return Bins.of(artifact.table("reference/features.parquet"), score)


def _reference(artifact: Artifact, *, scored: bool) -> Reference:
    every = Histograms.read(bins_of(artifact, scored=True), artifact.table(_DAYS))
    return Reference(every if scored else every.without_last())


def _counted(found: Iterable[Piece], artifact: Artifact, params: Params) -> tuple[Histograms, Drawn, bool]:
    """The window's histograms, a draw of its rows, and whether it has scores."""
    feed: Iterator[Piece] = iter(found)
    first = next(feed, None)
    if first is None:
        raise DataError(f"No decision of the model {artifact.version}.", "Name the model that decided.")
    scored = first.score is not None
    count = Count(bins_of(artifact, scored=scored))
    drawn = Drawn(params.monitor.classifier_rows, params.seed)
    piece: Piece | None = first
    while piece is not None:
        score = () if piece.score is None else (piece.score,)
        count.add(piece.times_us, [*np.ascontiguousarray(piece.features.T), *score])
        drawn.add(Sample(piece.times_us, piece.features))
        piece = next(feed, None)
    return count.done(), drawn, scored


def _newest(window: Histograms, least: int) -> int:
    """The newest day to count back from: no day that has just begun, nor one of a clock that runs ahead."""
    enough = np.cumsum(window.rows.sum(axis=1)[::-1]) >= least
    return int(window.days[::-1][np.argmax(enough)])


def _together(document: dict[str, Any], artifact: Artifact, reference: Reference, few: Sample, params: Params) -> None:
    """What several of the judged features show together; a window that they tell apart has drifted."""
    monitor = params.monitor
    if not monitor.classifier_rows or _ROWS not in artifact.content:
        return
    kept, judged = artifact.table(_ROWS), reference.judged[: len(artifact.spec.names)]
    rows = Sample(kept["event_time"].to_numpy(), matrix_of(kept, artifact.spec.names)[:, judged])
    found = separation(rows, Sample(few.times_us, few.values[:, judged]), seed=params.seed) if judged.any() else None
    if found is None:
        document["classifier"] = {"why": "the reference has too few days, or too few rows at the window's hours"}
        return
    drifted = found.p_value <= monitor.of_a_test and found.auc >= monitor.auc_min
    document["classifier"] = asdict(found) | {"drifted": drifted}
    if drifted and document["verdict"] == "stable":
        document |= {"verdict": "drift", "why": f"{TOGETHER} (area under the curve {found.auc:.2f})"}


def _document(comparison: Comparison, window: Histograms, artifact: Artifact, params: Params) -> dict[str, Any]:
    edges = dict(zip(window.bins.names, window.bins.edges, strict=True))
    figures = []
    for figure in comparison.figures:
        values = asdict(figure)
        figures.append(values | {"edges": edges[figure.name].tolist()})
    return {
        "format": FORMAT,
        "verdict": comparison.verdict,
        "why": comparison.why,
        "model": {"digest": artifact.digest, "version": artifact.version},
        "window": {
            "rows": comparison.rows,
            "first": from_us(int(window.days[0]) * DAY_US).date().isoformat(),
            "last": from_us(int(window.days[-1]) * DAY_US).date().isoformat(),
            "by_day": {
                from_us(day * DAY_US).date().isoformat(): rows
                for day, rows in zip(window.days.tolist(), window.rows.sum(axis=1).tolist(), strict=True)
            },
        },
        "reference": artifact.meta.trained_on.model_dump(),
        "params": params.monitor.model_dump(),
        "figures": figures,
        "classifier": {},
        "performance": {},
    }
